// Holds the guard, so that a check does not hold up the page.

import { Guard, hasSimd } from "/duoguard/index.js";

let guard;
try {
  const started = performance.now();
  guard = await Guard.load();
  const milliseconds = Math.round(performance.now() - started);
  postMessage({ ready: `${hasSimd() ? "simd" : "plain"} loaded in ${milliseconds} ms` });
} catch (error) {
  postMessage({ error: error.message });
}

self.onmessage = ({ data }) => {
  try {
    const started = performance.now();
    const verdict = guard.check(data);
    postMessage({ verdict, milliseconds: performance.now() - started, of: data });
  } catch (error) {
    postMessage({ error: error.message });
  }
};
