"""What the proxy adds to a stream: time to the first token, and tokens a second.

usage: overhead.py ROUNDS NAME=URL...

The first server is the one that the others are compared with. All are asked by turns.
"""

import json
import statistics
import sys
import time
from http.client import HTTPConnection
from urllib.parse import urlsplit

ROUNDS = int(sys.argv[1])
SERVERS = dict(argument.split("=", 1) for argument in sys.argv[2:])
BODY = json.dumps(
    {
        "model": "made-up",
        "stream": True,
        "messages": [{"role": "user", "content": "How do I bake bread?"}],
    }
)


def ask(url):
    """Seconds to the first token, and tokens a second after it."""
    connection = HTTPConnection(urlsplit(url).netloc)
    start = time.perf_counter()
    headers = {"content-type": "application/json"}
    connection.request("POST", "/v1/chat/completions", BODY, headers)
    response = connection.getresponse()
    times = []
    for line in response:
        if not line.startswith(b"data: {"):
            continue
        if json.loads(line[6:])["choices"][0]["delta"].get("content"):
            times.append(time.perf_counter())
    connection.close()
    return times[0] - start, (len(times) - 1) / (times[-1] - times[0]), times[-1] - start


found = {name: [] for name in SERVERS}
for _ in range(ROUNDS):
    for name, url in SERVERS.items():
        found[name].append(ask(url))
base = None
for name, rows in found.items():
    first, rate, whole = (statistics.median(column) for column in zip(*rows))
    base = base or (first, rate, whole)
    print(
        f"{name}: first token {first * 1e3:.2f} ms ({first / base[0] - 1:+.1%}), "
        f"{rate:.1f} tokens/s ({rate / base[1] - 1:+.1%}), "
        f"whole answer {whole * 1e3:.1f} ms ({whole / base[2] - 1:+.1%}), median of {len(rows)}"
    )
