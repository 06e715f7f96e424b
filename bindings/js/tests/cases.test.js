// The shared cases: verdicts are those of the C library, and scores those of its engine native but
// for the last place, because the exponential that makes a probability of a logit is the system's.
// bindings/cases.py writes them, and DUOGUARD_CASES names the file; scripts/bindings.sh does both.

import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import test from "node:test";

import { Guard, GuardError, hasSimd } from "../index.js";

const JOINS = ["space", "newline", "separate"];
/** Units in the last place of a 32-bit float. */
const TOLERANCE = 2;

const path = process.env.DUOGUARD_CASES;
assert.ok(path, "DUOGUARD_CASES names no file of cases: see scripts/bindings.sh");
const lines = readFileSync(path, "utf8").trimEnd().split("\n");
assert.ok(lines.length >= 60);

const pairs = (line) => Object.fromEntries(line.trimEnd().split("\t").map((pair) => pair.split(/=(.*)/s)));
const text = (digits) => Buffer.from(digits, "hex").toString("utf8");

function float(digits) {
  const view = new DataView(new ArrayBuffer(4));
  view.setUint32(0, parseInt(digits, 16));
  return view.getFloat32(0);
}

function bits(score) {
  const view = new DataView(new ArrayBuffer(4));
  view.setFloat32(0, score);
  return view.getUint32(0);
}

/** Whether scores are those of the C library, as near as they have to be; both as their bits. */
function near(found, expected) {
  const wanted = expected.split(",").map(Number);
  assert.equal(found.length, wanted.length);
  for (const [place, bits] of found.entries()) {
    const apart = Math.abs(bits - wanted[place]);
    assert.ok(apart <= TOLERANCE, `score ${place} is ${apart} units in the last place off`);
  }
}

function optionsOf(given, categories) {
  const options = {};
  if ("language" in given) options.language = text(given.language);
  if ("join" in given) options.join = JOINS[Number(given.join)];
  if ("max_tokens" in given) options.maxTokens = Number(given.max_tokens);
  if ("target_fpr" in given) options.targetFpr = float(given.target_fpr);
  if ("literal" in given) options.literal = true;
  if ("thresholds" in given) {
    const named = given.thresholds.split(",").map((digits, place) => [categories[place], digits]);
    const set = named.filter(([, digits]) => digits !== "0");
    options.thresholds = Object.fromEntries(set.map(([name, digits]) => [name, float(digits)]));
  }
  return options;
}

function said(verdict, categories, prompt, response) {
  const { span } = verdict;
  const within = span.part === "response" ? response : prompt;
  const bytes = (end) => String(Buffer.byteLength(within.slice(0, end)));
  return {
    status: "DUOGUARD_OK",
    flagged: String(Number(verdict.flagged)),
    top_category: String(verdict.category === null ? -1 : categories.indexOf(verdict.category)),
    tokens: String(verdict.tokens),
    tokens_scored: String(verdict.tokensScored),
    windows: String(verdict.windows),
    language: verdict.language,
    span_in_response: String(Number(span.part === "response")),
    span_begin: bytes(span.start),
    span_end: bytes(span.end),
    coverage_partial: String(Number(verdict.partial)),
  };
}

/** Why a build cannot be tested here; undefined where it can. */
function missing(build) {
  if (!existsSync(new URL(`../dist/${build}.wasm`, import.meta.url))) {
    return `dist/${build}.wasm is not there: scripts/wasm.sh ${build}`;
  }
  return build === "simd" && !hasSimd() ? "this machine has no SIMD" : undefined;
}

function compare(guard, given, answer) {
  const { categories } = guard;
  const prompt = text(given.prompt ?? "");
  const response = "response" in given ? text(given.response) : undefined;
  const options = optionsOf(given, categories);
  if (answer.status !== "DUOGUARD_OK") {
    assert.throws(
      () => guard.check(prompt, { response, ...options }),
      (error) => error instanceof GuardError && `DUOGUARD_${error.status}` === answer.status,
    );
    return;
  }
  const { reserved, stream_agrees: agrees, scores, top_score: top, ...expected } = answer;
  assert.equal(agrees + reserved, "10");
  const verdict = guard.check(prompt, { response, ...options });
  assert.deepEqual(said(verdict, categories, prompt, response), expected);
  near(Object.values(verdict.scores).map(bits), scores);
  near([bits(verdict.score)], top);
  const streamed = { prompt: response === undefined ? undefined : prompt, debounceBytes: 2 ** 30 };
  const stream = guard.stream({ ...options, ...streamed });
  assert.equal(stream.push(response ?? prompt), null);
  assert.deepEqual(stream.finish(), verdict);
  stream.close();
}

const guards = {};
for (const build of ["simd", "plain"]) {
  const skip = missing(build);
  const guard = skip ? undefined : await Guard.load({ simd: build === "simd" });
  guards[build] = guard;
  for (let at = 0; at < lines.length; at += 2) {
    const [given, answer] = [pairs(lines[at]), pairs(lines[at + 1])];
    test(`${build}: ${text(given.name)}`, { skip }, () => compare(guard, given, answer));
  }
}

test("both builds give the same bits", { skip: missing("simd") ?? missing("plain") }, () => {
  for (let at = 0; at < lines.length; at += 2) {
    const [given, answer] = [pairs(lines[at]), pairs(lines[at + 1])];
    if (answer.status === "DUOGUARD_OK") {
      const prompt = text(given.prompt ?? "").slice(0, 20_000);
      assert.deepEqual(guards.plain.check(prompt), guards.simd.check(prompt));
    }
  }
});
