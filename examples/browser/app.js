// Sends what is typed to a worker, and shows what it says. Only the newest text matters: while the
// worker is busy, texts in between are passed over.

const worker = new Worker("worker.js", { type: "module" });
const text = document.getElementById("text");
const output = document.getElementById("verdict");
let busy = true;
let waiting = false;

function send() {
  waiting = busy;
  if (!busy) {
    busy = true;
    worker.postMessage(text.value);
  }
}

worker.onmessage = ({ data }) => {
  busy = false;
  if (data.error) {
    output.textContent = `Not checked: ${data.error}`;
    delete output.dataset.flagged;
  } else if (data.ready) {
    output.textContent = `Ready: ${data.ready}`;
    output.dataset.ready = data.ready;
  } else {
    const { verdict, milliseconds, of } = data;
    const word = verdict.flagged ? `unsafe: ${verdict.category}` : "safe";
    output.textContent = `${word} (${verdict.score.toFixed(2)}, ${milliseconds.toFixed(1)} ms)`;
    output.dataset.flagged = verdict.flagged;
    output.dataset.of = of;
  }
  if (waiting) {
    send();
  }
};

text.addEventListener("input", send);

// What makes the page work offline.
await navigator.serviceWorker.register("service-worker.js", { type: "module", scope: "/" });
await navigator.serviceWorker.ready;
document.body.dataset.offline = "ready";
