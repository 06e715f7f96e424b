#!/usr/bin/env python3
"""Measures what a corpus costs: texts a second of one core, by language.

usage: cost.py [CORES-OF-A-MACHINE [PRICE-OF-A-CORE-HOUR [BUNDLE]]]

Needs the wheel. The texts are the same in every language, benches/data/parallel.tsv three times over,
each with a number, and are checked as a worker checks them: in batches, on one thread. Prints a
table in Markdown: texts a second, core hours and price of a million, and the cores and machines that
check a billion a day, if seven tenths of their time are used. On a quiet machine it takes about half
a minute.
"""

import math
import pathlib
import sys
import time

import duoguard

TEXTS = pathlib.Path(__file__).resolve().parents[2] / "benches/data/parallel.tsv"
REPEATS, BATCH, BATCHES, USED = 3, 250, 5, 0.7


def main():
    cores = int(sys.argv[1]) if len(sys.argv) > 1 else 16
    price = float(sys.argv[2]) if len(sys.argv) > 2 else 0.04
    guard = duoguard.Guard(sys.argv[3] if len(sys.argv) > 3 else None)
    guard.check_batch(["bread"] * BATCH, threads=1)
    print(f"| language | characters | tokens | texts a second | core hours a million | price | "
          f"cores for a billion a day | machines of {cores} |\n|{'---|' * 8}")
    for line in TEXTS.read_text().splitlines():
        language, text = line.split("\t")
        text = " ".join([text] * REPEATS)
        times = []
        for batch in range(BATCHES):
            texts = [f"{text} {batch * BATCH + number}" for number in range(BATCH)]
            started = time.perf_counter()
            guard.check_batch(texts, threads=1)
            times.append(time.perf_counter() - started)
        # The fastest batch: what else runs here only adds.
        rate = BATCH / min(times)
        hours = 1e6 / rate / 3600
        needed = 1e9 / (rate * 86400 * USED)
        tokens = guard.check(text).tokens
        print(f"| {language} | {len(text)} | {tokens} | {rate:.0f} | {hours:.2f} | "
              f"{hours * price:.4f} | {needed:.0f} | {math.ceil(needed / cores)} |", flush=True)


if __name__ == "__main__":
    main()
