// Keeps everything that the page needs, and answers without the network.

import { hashes } from "/duoguard/dist/hashes.js";
import { hasSimd } from "/duoguard/module.js";

const page = ["/", "/app.js", "/worker.js"];
const build = hasSimd() ? "dist/simd.wasm" : "dist/plain.wasm";
const code = ["index.js", "module.js", "dist/hashes.js", build];
const bundle = Object.keys(hashes).map((name) => `dist/mini/${name}`);
const files = [...page, ...[...code, ...bundle].map((name) => `/duoguard/${name}`)];
// Another bundle is another cache.
const name = `duoguard-${hashes["manifest.json"]}`;

self.addEventListener("install", (event) => {
  const filled = caches.open(name).then((cache) => cache.addAll(files));
  event.waitUntil(filled.then(() => self.skipWaiting()));
});

self.addEventListener("activate", (event) => {
  const old = caches.keys().then((names) => names.filter((other) => other !== name));
  const dropped = old.then((names) => Promise.all(names.map((other) => caches.delete(other))));
  event.waitUntil(dropped.then(() => self.clients.claim()));
});

self.addEventListener("fetch", (event) => {
  const kept = caches.open(name).then((cache) => cache.match(event.request, { ignoreSearch: true }));
  event.respondWith(kept.then((answer) => answer ?? fetch(event.request)));
});
