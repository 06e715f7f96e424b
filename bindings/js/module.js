// The WebAssembly module: which build, its bytes, and calls through its memory.

import { hashes } from "./dist/hashes.js";

// A module of one function with an instruction on vectors: valid where there is SIMD.
const VECTORS = [
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15,
  253, 98, 11,
];

/** Whether this machine runs the build with 128-bit SIMD. */
export function hasSimd() {
  return WebAssembly.validate(new Uint8Array(VECTORS));
}

/** A call that failed. A text whose check failed was not checked: do not take it for safe. */
export class GuardError extends Error {
  constructor(status, message, options) {
    super(message, options);
    this.name = "GuardError";
    this.status = status;
  }
}

/** Reads a file beside this one, or of the web. */
async function read(url) {
  if (url.protocol === "file:") {
    const { readFile } = await import("node:fs/promises");
    return readFile(url).catch((cause) => {
      throw new GuardError("IO", `${url}: ${cause.message}`, { cause });
    });
  }
  const answer = await fetch(url).catch((cause) => {
    throw new GuardError("IO", `${url}: ${cause.message}`, { cause });
  });
  if (!answer.ok) {
    throw new GuardError("IO", `${url}: the server says ${answer.status}`);
  }
  return new Uint8Array(await answer.arrayBuffer());
}

/** The bundle's files, each with the hash that this release was made with. */
async function readBundled(folder) {
  const files = Object.entries(hashes).map(async ([name, expected]) => {
    const url = new URL(name, folder);
    const bytes = await read(url);
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
    const found = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
    if (found !== expected) {
      throw new GuardError("INVALID_MODEL", `${url}: the SHA-256 is ${found}; expected ${expected}`);
    }
    return [name, bytes];
  });
  return Object.fromEntries(await Promise.all(files));
}

/** An instance of the module, with a bundle open. */
export class Module {
  #exports;
  #broken = false;

  static async open({ simd = hasSimd(), assets, files, engine = "native", publicKey } = {}) {
    const folder = new URL(assets ?? "./dist/", assets ? globalThis.location?.href : import.meta.url);
    const code = await read(new URL(simd ? "simd.wasm" : "plain.wasm", folder));
    const bundle = files ?? (await readBundled(new URL("mini/", folder)));
    const module = new Module();
    const random = (at, size) =>
      crypto.getRandomValues(new Uint8Array(module.#exports.memory.buffer, at, size));
    const { instance } = await WebAssembly.instantiate(code, { duoguard: { random } });
    module.#exports = instance.exports;
    for (const [name, bytes] of Object.entries(bundle)) {
      instance.exports.file(...module.#given(name), ...module.#given(bytes));
    }
    module.opened = module.call("open", JSON.stringify({ engine, publicKey }));
    return module;
  }

  /** Bytes or text in the module's memory, as a place and a size. */
  #given(value) {
    const bytes = typeof value === "string" ? new TextEncoder().encode(value) : value;
    const at = this.#exports.allocate(bytes.length);
    new Uint8Array(this.#exports.memory.buffer, at, bytes.length).set(bytes);
    return [at, bytes.length];
  }

  /** Calls a function with numbers, texts and bytes, and gives what it answers. */
  call(name, ...values) {
    if (this.#broken) {
      throw new GuardError("PANIC", "an earlier call ended in a defect; load another guard");
    }
    let text;
    try {
      const words = values.flatMap((value) =>
        typeof value === "number" ? [value] : this.#given(value),
      );
      this.#exports[name](...words);
      const { memory, answer, answer_size: size } = this.#exports;
      text = new TextDecoder().decode(new Uint8Array(memory.buffer, answer(), size()));
    } catch (cause) {
      this.#broken = true;
      const { memory, panic_message: at, panic_message_size: size } = this.#exports;
      const said = new TextDecoder().decode(new Uint8Array(memory.buffer, at(), size()));
      throw new GuardError("PANIC", `a defect in duoguard: ${said || cause.message}`, { cause });
    }
    if (text === "") {
      return undefined;
    }
    const said = JSON.parse(text);
    if ("ok" in said) {
      return said.ok;
    }
    throw new GuardError(said.status, said.message);
  }
}
