// Serves the page at / and the JavaScript package at /duoguard: node examples/browser/serve.js

import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { extname, normalize } from "node:path";
import { fileURLToPath } from "node:url";

const PAGE = fileURLToPath(new URL("./", import.meta.url));
const PACKAGE = fileURLToPath(new URL("../../bindings/js/", import.meta.url));
const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".json": "application/json",
  ".wasm": "application/wasm",
};

/** A server on 127.0.0.1; port 0 takes a free one. */
export function serve(port) {
  const server = createServer(async (request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url, "http://local").pathname));
    const inPackage = path.startsWith("/duoguard/");
    const name = inPackage ? path.slice("/duoguard/".length) : path === "/" ? "index.html" : path.slice(1);
    try {
      const bytes = await readFile((inPackage ? PACKAGE : PAGE) + name);
      const type = TYPES[extname(name)] ?? "application/octet-stream";
      response.writeHead(200, { "Content-Type": type }).end(bytes);
    } catch {
      response.writeHead(404).end();
    }
  });
  return new Promise((resolve) => server.listen(port, "127.0.0.1", () => resolve(server)));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const server = await serve(8480);
  console.log(`http://127.0.0.1:${server.address().port}/`);
}
