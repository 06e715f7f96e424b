import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";

import { Guard, GuardError } from "../index.js";

const BREAD = "How do I bake bread at home?";
const UNSAFE =
  "You people are disgusting and stupid, nobody wants you here, get out of our country, you filth.";

const guard = await Guard.load();

const fails = (status, part) => (error) =>
  error instanceof GuardError && error.status === status && error.message.includes(part);

test("a verdict says which category", () => {
  const verdict = guard.check(UNSAFE);
  assert.equal(verdict.flagged, true);
  assert.equal(verdict.category, "hate");
  assert.deepEqual(Object.keys(verdict.scores), guard.categories);
  assert.deepEqual(verdict.span, { part: "prompt", start: 0, end: UNSAFE.length });
  assert.equal(guard.check(BREAD).flagged, false);
});

test("places are in UTF-16 units", () => {
  const text = "🍞 ".repeat(200) + UNSAFE.repeat(8) + " 🍞".repeat(400);
  const { span } = guard.check("🥖", { response: text });
  assert.equal(span.part, "response");
  assert.ok(text.slice(span.start, span.end).includes("disgusting"));
});

test("wrong arguments are refused", () => {
  assert.throws(() => guard.check(3), fails("INVALID_ARGUMENT", "text is a number"));
  assert.throws(() => guard.check("\ud800"), fails("INVALID_ARGUMENT", "surrogate"));
  assert.throws(() => guard.check(BREAD, { colour: 1 }), fails("INVALID_ARGUMENT", "no option"));
  assert.throws(() => guard.check(BREAD, { join: "tab" }), fails("INVALID_ARGUMENT", "join"));
  assert.throws(() => guard.check(BREAD, { maxTokens: 1.5 }), fails("INVALID_ARGUMENT", "1.5"));
  assert.throws(() => guard.check(BREAD, { targetFpr: NaN }), fails("INVALID_ARGUMENT", "NaN"));
  assert.equal(guard.check(BREAD).flagged, false);
});

test("a stream ends as a check", () => {
  const stream = guard.stream({ debounceBytes: 1 });
  assert.notEqual(stream.push("You people are "), null);
  assert.notEqual(stream.push(new TextEncoder().encode("disgusting.")), null);
  assert.deepEqual(stream.finish(), guard.check("You people are disgusting."));
  stream.close();
  assert.throws(() => stream.finish(), fails("INVALID_ARGUMENT", "closed"));
  assert.throws(() => guard.stream({ language: "x!" }), fails("INVALID_ARGUMENT", "BCP-47"));
});

test("a damaged bundle and a missing asset are refused", async () => {
  await assert.rejects(Guard.load({ files: {} }), fails("INVALID_ARGUMENT", "manifest.json"));
  const files = { "manifest.json": new TextEncoder().encode("{}") };
  await assert.rejects(Guard.load({ files }), GuardError);
  await assert.rejects(Guard.load({ engine: "abacus" }), fails("INVALID_ARGUMENT", "abacus"));
});

test("a bundle whose key is named has to be signed", async () => {
  const folder = process.env.DUOGUARD_SIGNED;
  assert.ok(folder, "DUOGUARD_SIGNED names no folder: see scripts/bindings.sh");
  const key = (name) => readFileSync(join(folder, name), "utf8");
  const names = readdirSync(join(folder, "signed"));
  const read = (name) => [name, readFileSync(join(folder, "signed", name))];
  const files = Object.fromEntries(names.map(read));
  const signed = await Guard.load({ files, publicKey: key("minisign.pub") });
  assert.deepEqual(signed.check(UNSAFE), guard.check(UNSAFE));
  const refused = (options, status, part) => assert.rejects(Guard.load(options), fails(status, part));
  await refused({ files, publicKey: key("other.pub") }, "INVALID_MODEL", "different key");
  const { "manifest.json.minisig": signature, ...unsigned } = files;
  await refused({ files: unsigned, publicKey: key("minisign.pub") }, "INVALID_MODEL", "not signed");
  await refused({ files, publicKey: "no key" }, "INVALID_ARGUMENT", "public key");
  await refused({ publicKey: key("minisign.pub") }, "INVALID_MODEL", "not signed");
});
