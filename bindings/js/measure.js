// Measures the JavaScript package in Node: sizes, loading, and milliseconds a check, of each build.
//
//     node bindings/js/measure.js
//
// Prints CSV: what,value,unit. Each figure is the median; loading counts from the first byte read
// from the disk until the guard is there. On a quiet machine it takes about ten seconds.

import { readFileSync, readdirSync } from "node:fs";
import { gzipSync } from "node:zlib";

import { Guard } from "./index.js";

const DIST = new URL("./dist/", import.meta.url);
const SENTENCE =
  "How do I bake bread at home, and how long does the dough have to rest before it is baked?";
const LOADS = 5;
const CHECKS = 200;

const median = (times) => times.sort((a, b) => a - b)[times.length >> 1];
const row = (what, value, unit) => console.log(`"${what}",${value.toPrecision(4)},${unit}`);

async function timed(work) {
  const started = performance.now();
  await work();
  return performance.now() - started;
}

console.log("what,value,unit");
const files = readdirSync(new URL("mini/", DIST)).map((name) => readFileSync(new URL(`mini/${name}`, DIST)));
row("bundle", files.reduce((size, bytes) => size + bytes.length, 0) / 1e6, "MB");
for (const [name, simd] of [["simd", true], ["plain", false]]) {
  const code = readFileSync(new URL(`${name}.wasm`, DIST));
  row(`${name}: code`, code.length / 1e6, "MB");
  row(`${name}: code, gzip`, gzipSync(code, { level: 9 }).length / 1e6, "MB");
  let guard;
  const loads = [];
  for (let load = 0; load < LOADS; load++) {
    loads.push(await timed(async () => { guard = await Guard.load({ simd }); }));
  }
  row(`${name}: load`, median(loads), "ms");
  for (const [what, text] of [["20 words", SENTENCE], ["a window of 256 tokens", SENTENCE.repeat(12)]]) {
    const { tokens, windows } = guard.check(text);
    const times = [];
    for (let check = 0; check < CHECKS; check++) {
      times.push(await timed(() => guard.check(text)));
    }
    row(`${name}: a check of ${what} (${tokens} tokens, ${windows} windows)`, median(times), "ms");
  }
}
