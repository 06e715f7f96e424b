#!/usr/bin/env python3
"""Measures the Python package: import, first verdict, cost of a call, threads, the wheel's size.

usage: bindings/measure.py PREFIX WHEEL

Prints CSV: what, value, unit. PREFIX is where the C library is. WHEEL is
installed into a fresh virtual environment, whose Python is timed. On a machine that does nothing
else it takes about a minute.
"""

import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
BUNDLE = ROOT / "models/mini"
TEXT = "How do I bake bread at home, and how long does the dough have to rest before it is baked?"
CALLS, TRIES = 2000, 7
# Texts of a batch, by bundle: some seconds each.
BATCHES = {"mini": 3000, "base": 600}
CALL = """
import statistics, sys, time
import duoguard
guard = duoguard.Guard("mini")
times = []
for _ in range(int(sys.argv[2])):
    started = time.perf_counter_ns()
    guard.check(sys.argv[1])
    times.append(time.perf_counter_ns() - started)
print(statistics.median(times))
"""
THREADS = """
import sys, time
import duoguard
guard = duoguard.Guard(sys.argv[3])
texts = [f"{sys.argv[1]} ({n})" for n in range(int(sys.argv[2]))]
guard.check_batch(texts[:100], threads=2)
for threads in (1, 2, 1, 2, 1, 2):
    started = time.perf_counter()
    guard.check_batch(texts, threads=threads)
    print(time.perf_counter() - started)
"""


def seconds(*command):
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd="/")
    return time.perf_counter() - started


def said(*command):
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd="/")
    return [float(line) for line in done.stdout.split()]


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: bindings/measure.py PREFIX WHEEL")
    prefix, wheel = (pathlib.Path(word).resolve() for word in sys.argv[1:])
    rows = [("wheel", wheel.stat().st_size / 1e6, "MB")]
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
        python = folder / "venv/bin/python"
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        installing = seconds(*pip, "--no-index", "--no-deps", wheel)
        rows.append(("pip install", installing * 1e3, "ms"))

        readme = (ROOT / "bindings/python/README.md").read_text()
        lines = re.search(r"^```python\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)[1]
        rows.append(("the README's lines, first run", seconds(python, "-c", lines) * 1e3, "ms"))
        start = statistics.median(seconds(python, "-c", "pass") for _ in range(TRIES))
        whole = statistics.median(seconds(python, "-c", "import duoguard") for _ in range(TRIES))
        rows.append(("import duoguard", (whole - start) * 1e3, "ms"))

        program = folder / "measure"
        subprocess.run(
            ["cc", "-O2", f"-I{prefix}/include", ROOT / "bindings/measure.c", f"-L{prefix}/lib"]
            + ["-lduoguard", f"-Wl,-rpath,{prefix}/lib", "-o", program],
            check=True,
        )
        for name, text in (("of an empty text", ""), ("of 20 words", TEXT)):
            [of_c] = said(program, BUNDLE, text, str(CALLS))
            [of_python] = said(python, "-c", CALL, text, str(CALLS))
            rows.append((f"a check {name} through C", of_c / 1e3, "us"))
            rows.append((f"a check {name} through Python", of_python / 1e3, "us"))
        for bundle, batch in BATCHES.items():
            times = said(python, "-c", THREADS, TEXT, str(batch), bundle)
            one, two = min(times[::2]), min(times[1::2])
            rows.append((f"{bundle}: texts a second, one thread", batch / one, "1/s"))
            rows.append((f"{bundle}: texts a second, two threads", batch / two, "1/s"))
            rows.append((f"{bundle}: two threads over one", one / two, "times"))
    print("what,value,unit")
    for what, value, unit in rows:
        print(f'"{what}",{value:.4g},{unit}')


if __name__ == "__main__":
    main()
