"""Checks of one text by several programs, timed by turns."""

import statistics
import time

ROUNDS = 40
# What the others are compared with.
FIRST = "duoguard native"


def rows(checks, text, model, tokens, software):
    """A row of the record for each program of `checks`, a dict of functions of a text; prints them too."""
    times = {name: [] for name in checks}
    for _ in range(ROUNDS + 3):
        for name, check in checks.items():
            started = time.perf_counter()
            check(text)
            times[name].append((time.perf_counter() - started) * 1e3)
    medians = {name: statistics.median(of[3:]) for name, of in times.items()}
    for name, of in times.items():
        low, *_, high = statistics.quantiles(of[3:], n=10)
        times_first = medians[name] / medians[FIRST]
        print(f"{tokens:4} tokens  {name:22} {medians[name]:9.3f} [{low:.3f}, {high:.3f}]  {times_first:6.2f} times {FIRST}")
        yield dict(
            model=model, peer=name, version=software[name], tokens=tokens, p50_ms=f"{medians[name]:.4f}",
            p10_ms=f"{low:.4f}", p90_ms=f"{high:.4f}", times_first=f"{times_first:.3f}",
        )
