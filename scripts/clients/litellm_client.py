"""LiteLLM's proxy with the server as its guardrail, in two shapes and three places.

usage: litellm_client.py SERVER_URL SAFE_UPSTREAM_URL UNSAFE_UPSTREAM_URL FOLDER
"""

import json
import os
import pathlib
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

from checks import SAFE, UNSAFE, Checks

SERVER, SAFE_UPSTREAM, UNSAFE_UPSTREAM, FOLDER = sys.argv[1:]
check = Checks("litellm")


def guardrail(kind, mode):
    base = SERVER if kind == "generic_guardrail_api" else SERVER + "/v1"
    params = {"guardrail": kind, "mode": mode, "api_base": base, "api_key": "none"}
    return {"guardrail_name": f"{kind}-{mode}", "litellm_params": params}


def model(name, upstream):
    params = {"model": "openai/made-up", "api_base": upstream + "/v1", "api_key": "none"}
    return {"model_name": name, "litellm_params": params}


KINDS = ["generic_guardrail_api", "openai_moderation"]
MODES = ["pre_call", "during_call", "post_call"]
config = {
    "model_list": [model("safe", SAFE_UPSTREAM), model("unsafe", UNSAFE_UPSTREAM)],
    "guardrails": [guardrail(kind, mode) for kind in KINDS for mode in MODES],
}
folder = pathlib.Path(FOLDER)
# JSON is YAML.
(folder / "litellm.yaml").write_text(json.dumps(config))
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
KEY = "sk-" + secrets.token_hex(32)
URL = f"http://127.0.0.1:{port}"


def ask(name, text, guard, stream=False):
    """Status and body."""
    body = {"model": name, "stream": stream, "guardrails": [guard]}
    body["messages"] = [{"role": "user", "content": text}]
    headers = {"content-type": "application/json", "authorization": "Bearer " + KEY}
    request = urllib.request.Request(
        URL + "/v1/chat/completions", json.dumps(body).encode(), headers
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


program = pathlib.Path(sys.executable).with_name("litellm")
command = [program, "--config", folder / "litellm.yaml", "--host", "127.0.0.1", "--port", str(port)]
environment = {**os.environ, "LITELLM_MASTER_KEY": KEY, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
with open(folder / "litellm.log", "w") as log:
    proxy = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
try:
    for _ in range(240):
        try:
            urllib.request.urlopen(URL + "/health/liveliness", timeout=5).close()
            break
        except OSError:
            if proxy.poll() is not None:
                sys.exit(f"litellm: the proxy has ended: {folder}/litellm.log")
            time.sleep(0.5)
    for kind in KINDS:
        for mode in MODES:
            guard = f"{kind}-{mode}"
            status, body = ask("safe", SAFE, guard)
            check(status == 200, f"{guard}: a safe exchange passes: {status} {body}")
            if mode == "post_call":
                status, body = ask("unsafe", SAFE, guard)
                check(status >= 400, f"{guard}: an unsafe response is blocked: {status} {body}")
                status, body = ask("unsafe", SAFE, guard, stream=True)
                # A stream has begun: it ends in an error.
                check(status >= 400 or '"error"' in body, f"{guard}: streamed: {status} {body}")
            else:
                status, body = ask("safe", UNSAFE, guard)
                check(status >= 400, f"{guard}: an unsafe prompt is blocked: {status} {body}")
            status, body = ask("safe", SAFE, guard, stream=True)
            check(status == 200 and "[DONE]" in body, f"{guard}: a safe stream: {status} {body}")
finally:
    proxy.terminate()
    proxy.wait(30)
print(f"litellm: {check.passed} passed, 0 failed")
