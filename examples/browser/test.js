// Tests the page in headless Chromium: it loads, checks what is typed, and goes on without a
// network, after the server has ended and the page was loaded anew.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { serve } from "./serve.js";

const UNSAFE = "You people are disgusting and stupid, nobody wants you here, you filth.";
const LIMIT = 60_000;

/** Chromium, driven through its pipe: https://chromedevtools.github.io/devtools-protocol */
class Browser {
  #next = 1;
  #asked = new Map();
  #rest = "";

  constructor(profile) {
    const flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe"];
    const stdio = ["ignore", "ignore", "ignore", "pipe", "pipe"];
    this.process = spawn("chromium", [...flags, `--user-data-dir=${profile}`], { stdio });
    this.ended = new Promise((resolve) => this.process.on("exit", resolve));
    this.process.stdio[4].setEncoding("utf8").on("data", (text) => this.#read(text));
  }

  #read(text) {
    const messages = (this.#rest + text).split("\0");
    this.#rest = messages.pop();
    for (const message of messages.map((each) => JSON.parse(each))) {
      const asked = this.#asked.get(message.id);
      this.#asked.delete(message.id);
      if (message.error) asked?.reject(new Error(message.error.message));
      else asked?.resolve(message.result);
    }
  }

  ask(method, params = {}, sessionId = undefined) {
    const id = this.#next++;
    this.process.stdio[3].write(JSON.stringify({ id, method, params, sessionId }) + "\0");
    return new Promise((resolve, reject) => this.#asked.set(id, { resolve, reject }));
  }
}

const profile = await mkdtemp(join(tmpdir(), "duoguard-browser-"));
const server = await serve(0);
const url = `http://127.0.0.1:${server.address().port}/`;
const browser = new Browser(profile);
try {
  const { targetId } = await browser.ask("Target.createTarget", { url });
  const { sessionId } = await browser.ask("Target.attachToTarget", { targetId, flatten: true });
  const evaluate = async (expression) => {
    const said = await browser.ask("Runtime.evaluate", { expression, returnByValue: true }, sessionId);
    return said.result.value;
  };
  const until = async (expression) => {
    for (const end = Date.now() + LIMIT; Date.now() < end; await sleep(50)) {
      if (await evaluate(expression)) return;
    }
    assert.fail(`${expression} does not come: ${await evaluate("document.body.innerText")}`);
  };
  const output = "document.getElementById('verdict')";
  const type = (text) =>
    evaluate(`(() => { const text = document.getElementById("text");
      text.value = ${JSON.stringify(text)}; text.dispatchEvent(new Event("input")); })()`);
  const checked = async (text, flagged) => {
    await type(text);
    await until(`${output}.dataset.of === ${JSON.stringify(text)}`);
    assert.equal(await evaluate(`${output}.dataset.flagged`), String(flagged));
    return evaluate(`${output}.textContent`);
  };

  await until(`${output}?.dataset.ready && document.body.dataset.offline`);
  console.log(`online: ${await evaluate(`${output}.dataset.ready`)}`);
  console.log(`online: ${await checked(UNSAFE, true)}`);

  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  await browser.ask("Network.enable", {}, sessionId);
  const cut = { offline: true, latency: 0, downloadThroughput: 0, uploadThroughput: 0 };
  await browser.ask("Network.emulateNetworkConditions", cut, sessionId);
  await assert.rejects(fetch(url), "the server is still there");
  await evaluate("document.body.dataset.before = 'yes'");
  await browser.ask("Page.reload", {}, sessionId);
  await until(`document.body && !document.body.dataset.before && ${output}?.dataset.ready`);
  console.log(`offline: ${await evaluate(`${output}.dataset.ready`)}`);
  console.log(`offline: ${await checked("How do I bake bread at home?", false)}`);
  console.log(`offline: ${await checked(UNSAFE, true)}`);
} finally {
  browser.process.kill();
  await browser.ended;
  server.close();
  await rm(profile, { recursive: true, force: true, maxRetries: 5 });
}
