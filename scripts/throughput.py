"""Tokens a second of the trainer and of PyTorch, measured in turns: `cargo xtask throughput`, which builds what this needs.

Both programs stay alive; one computes while the other waits for its line of stdin. Printed are the median of the turns, their
least and largest, the median of the ratios of neighbouring turns, and the most memory of either, programs and libraries
included.
"""

import argparse
import statistics
import subprocess
import sys

OURS = ["target/release/examples/throughput"]
THEIRS = ["trainer/examples/throughput.py"]
CASES = {
    "cpu": {
        "classifier": "--shape mini --step classifier --rows 32 --tokens 64 --steps 4",
        "encoder": "--shape encoder --step classifier --rows 32 --tokens 64 --steps 1",
        "preference": "--shape mini --step preference --rows 32 --tokens 64 --steps 1",
        "sampling": "--shape llama --step generate --rows 64 --tokens 16 --new-tokens 16 --top-p 0.9",
        "sampling of 8 proposals": "--shape llama --step generate --rows 64 --tokens 64 --new-tokens 16 --top-p 0.9 --proposals 8",
    },
    "cuda": {
        "Qwen2.5-0.5B, bf16": "--shape qwen --step classifier --rows 40 --tokens 128 --precision bf16 --steps 10",
        "Qwen2.5-0.5B, f32": "--shape qwen --step classifier --rows 40 --tokens 128 --precision f32 --steps 10",
    },
}
# Options of one side: what changes the arithmetic is a case of its own.
OURS_ALONE = {"sampling, ours in bf16": ("sampling", "--precision bf16")}


def start(command, arguments):
    return subprocess.Popen(command + arguments + ["--turns"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def turn(process):
    """(tokens a second, MiB at most)"""
    process.stdin.write("\n")
    process.stdin.flush()
    line = process.stdout.readline().split()
    if len(line) != 3:
        sys.exit(f"throughput.py: {process.args[0]} stopped: see what it said above")
    milliseconds, tokens, memory = map(float, line)
    return tokens / milliseconds * 1e3, memory


def gpu_memory(process):
    """MiB that a process holds of the GPU."""
    query = ["nvidia-smi", "--query-compute-apps=pid,used_memory", "--format=csv,noheader,nounits"]
    rows = subprocess.run(query, capture_output=True, text=True, check=True).stdout.splitlines()
    used = {int(pid): float(mib) for pid, mib in (row.split(",") for row in rows)}
    return used.get(process.pid, float("nan"))


def measure(name, arguments, own_arguments, a):
    common = arguments.split() + ["--device", a.device, "--threads", str(a.threads)]
    ours = start(OURS, common + own_arguments.split())
    theirs = start([a.python] + THEIRS, common)
    for _ in range(2):
        turn(ours), turn(theirs)
    pairs = [(turn(ours), turn(theirs)) for _ in range(a.turns)]
    speeds = [[speed for speed, _ in side] for side in zip(*pairs)]
    ratio = statistics.median(x / y for x, y in zip(*speeds))
    if a.device == "cuda":
        memory = [gpu_memory(ours), gpu_memory(theirs)]
    else:
        memory = [side[-1][1] for side in zip(*pairs)]
    for process in (ours, theirs):
        process.stdin.close()
        process.wait()
    shown = [f"{statistics.median(s):9.0f} ({min(s):.0f}-{max(s):.0f})" for s in speeds]
    print(
        f"{name:<24} {shown[0]:>24} {shown[1]:>24} {ratio:6.2f} {memory[0]:7.0f} {memory[1]:7.0f} {memory[0] / memory[1]:6.2f}",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", default=sys.executable, help="a Python with torch and transformers")
    parser.add_argument("--device", choices=CASES, default="cpu")
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", help="measure the cases whose names begin so")
    a = parser.parse_args()
    print(f"{a.turns} turns each, {a.threads} threads; tokens a second: median (least-largest); MiB at most")
    print(f"{'':<24} {'duoguard':>24} {'PyTorch':>24} {'ratio':>6} {'MiB':>7} {'PyTorch':>7} {'ratio':>6}")
    cases = [(name, arguments, "") for name, arguments in CASES[a.device].items()]
    if a.device == "cpu":
        cases += [(name, CASES["cpu"][of], own) for name, (of, own) in OURS_ALONE.items()]
    for name, arguments, own in cases:
        if name.startswith(a.only or ""):
            measure(name, arguments, own, a)


if __name__ == "__main__":
    main()
