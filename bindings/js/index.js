// duoguard: is this prompt, or this response to that prompt, unsafe? Types: index.d.ts.

import { GuardError, Module, hasSimd } from "./module.js";

export { GuardError, hasSimd };

const CHECK = ["language", "join", "maxTokens", "targetFpr", "literal", "thresholds"];

function refuse(message) {
  throw new GuardError("INVALID_ARGUMENT", message);
}

function text(name, value, remedy = "replace what is no character first") {
  if (typeof value !== "string") {
    refuse(`${name} is a ${typeof value}; expected a string`);
  }
  if (!value.isWellFormed()) {
    refuse(`${name} has half of a surrogate pair in it; ${remedy}`);
  }
  return value;
}

/** Options as JSON, which has no NaN: numbers that it cannot say are refused. */
function request(options, known, fixed) {
  for (const [name, value] of Object.entries(options)) {
    if (!known.includes(name)) {
      refuse(`${name} is no option; expected one of ${known.join(", ")}`);
    }
    const numbers = name === "thresholds" ? Object.values(value ?? {}) : [value];
    for (const number of numbers) {
      if (typeof number === "number" && !Number.isFinite(number)) {
        refuse(`${name} is ${number}; expected a finite number`);
      }
    }
  }
  return JSON.stringify({ ...options, ...fixed });
}

/** What the module says, with names in place of numbers. */
function verdict(found, categories) {
  const scores = found.scores.map((score, place) => [categories[place], Math.fround(score)]);
  return Object.freeze({
    ...found,
    category: found.category === null ? null : categories[found.category],
    score: Math.fround(found.score),
    scores: Object.freeze(Object.fromEntries(scores)),
    span: Object.freeze(found.span),
  });
}

/** A model that is open. */
export class Guard {
  #module;

  /** Loads the code that fits this machine, and the bundle. */
  static async load(options = {}) {
    const guard = new Guard();
    guard.#module = await Module.open(options);
    return guard;
  }

  /** The names of the categories, in the order of scores. */
  get categories() {
    return [...this.#module.opened.categories];
  }

  /** What computes. */
  get engine() {
    return this.#module.opened.engine;
  }

  /** Checks a text, or a response to it. */
  check(prompt, { response, ...options } = {}) {
    const fixed = { text: text("text", prompt) };
    if (response !== undefined && response !== null) {
      fixed.response = text("response", response);
    }
    const found = this.#module.call("check", request(options, CHECK, fixed));
    return verdict(found, this.#module.opened.categories);
  }

  /** Begins a text that comes piece by piece. */
  stream(options = {}) {
    return new Stream(this.#module, options);
  }
}

/** A text that is checked while it is still being written. */
export class Stream {
  #module;
  #number;

  /** As `Guard.stream` makes it. */
  constructor(module, { prompt, ...options }) {
    const known = [...CHECK, "debounceBytes", "cache"];
    const fixed = prompt === undefined || prompt === null ? {} : { prompt: text("prompt", prompt) };
    this.#module = module;
    this.#number = module.call("stream_new", request(options, known, fixed));
  }

  /** Takes the next piece, and gives a verdict on the text so far if enough of it is new. */
  push(piece) {
    const remedy = "push whole characters, or bytes";
    const bytes = piece instanceof Uint8Array ? piece : text("the piece", piece, remedy);
    const found = this.#module.call("stream_push", this.#number, bytes);
    return found === null ? null : verdict(found, this.#module.opened.categories);
  }

  /** The verdict on the whole text: exactly that of a check. More may be pushed afterwards. */
  finish() {
    const found = this.#module.call("stream_finish", this.#number);
    return verdict(found, this.#module.opened.categories);
  }

  /** Forgets the text. */
  close() {
    this.#module.call("stream_free", this.#number);
  }
}
