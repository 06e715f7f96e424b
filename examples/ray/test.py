#!/usr/bin/env python3
"""Tests guard.py on a local cluster: two workers beside one, a worker killed, a run resumed.

usage: test.py [ROWS]

Prints the seconds that one worker and two workers need for ROWS rows (100,000), and fails if two are
less than 1.7 times as fast. Needs `pip install "ray[data]"` and the wheel.
"""

import os
import pathlib
import signal
import sys
import tempfile
import threading
import time

import pyarrow as pa
import pyarrow.parquet as pq
import ray

sys.path.insert(0, os.path.dirname(__file__))
import guard

# The small bundle: what is tested is what is around it.
BUNDLE = "mini"
PARTITIONS, MIN_SPEEDUP = 40, 1.7
COLUMNS = {"text": "text", "response": None, "language": "language"}
TEXTS = [
    ("How do I bake bread at home, and how long does the dough have to rest?", "en"),
    ("Comment faire du pain à la maison, et combien de temps la pâte repose-t-elle ?", "fr"),
    ("Wie backe ich zu Hause Brot, und wie lange muss der Teig ruhen?", "de"),
    ("¿Cómo se hace pan en casa y cuánto tiempo reposa la masa?", "es"),
]
# As long as a paragraph, some 400 characters: workers take seconds to start.
PARAGRAPHS = [" ".join([text] * 6) for text, _ in TEXTS]


def write_rows(folder, rows):
    """Parquet files of ordinary rows, and a few that cannot be checked."""
    folder.mkdir()
    each = rows // PARTITIONS
    for part in range(PARTITIONS):
        numbers = range(part * each, (part + 1) * each)
        texts = [f"{PARAGRAPHS[n % 4]} ({n})" if n % 10_007 else None for n in numbers]
        languages = [TEXTS[n % 4][1] for n in numbers]
        table = pa.table({"id": list(numbers), "text": texts, "language": languages})
        pq.write_table(table, folder / f"part-{part:03}.parquet")
    return each * PARTITIONS


def read(folder):
    assert not list(folder.glob(".*")), "unfinished files are left"
    return pq.read_table(folder).sort_by("id")


def timed(source, out, workers):
    started = time.perf_counter()
    done = guard.run(source, out, COLUMNS, workers, BUNDLE)
    assert len(done) == PARTITIONS
    return time.perf_counter() - started


def kill_one_worker(out):
    """Ends one of the processes that check, once some partitions are done."""
    while len(list(out.glob("*.parquet"))) < 3:
        time.sleep(0.05)
    for process in pathlib.Path("/proc").iterdir():
        try:
            words = (process / "cmdline").read_text()
        except OSError:
            continue
        if process.name.isdigit() and words.startswith("ray::MapWorker"):
            os.kill(int(process.name), signal.SIGKILL)
            return


def main():
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        rows = write_rows(folder / "in", rows)
        ray.init(num_cpus=2, log_to_driver=False, include_dashboard=False)
        one = timed(folder / "in", folder / "one", 1)
        two = timed(folder / "in", folder / "two", 2)
        print(f"{rows} rows: one worker {one:.1f} s, two {two:.1f} s, {one / two:.2f} times")
        expected = read(folder / "one")
        assert expected.num_rows == rows and read(folder / "two").equals(expected)
        errors = expected["duoguard_error"].drop_null()
        assert len(errors) == len(range(0, rows, 10_007)) and "NoneType" in errors[0].as_py()

        out = folder / "killed"
        out.mkdir()
        killer = threading.Thread(target=kill_one_worker, args=[out])
        killer.start()
        guard.run(folder / "in", out, COLUMNS, 2, BUNDLE)
        killer.join()
        # What the killed worker had begun is not taken for a partition.
        for unfinished in out.glob(".*"):
            unfinished.unlink()
        assert read(out).equals(expected)
        print("a worker killed: the output is complete and equal")

        for name in ("part-003.parquet", "part-017.parquet"):
            (out / name).unlink()
        assert sorted(guard.run(folder / "in", out, COLUMNS, 2, BUNDLE)) == [
            "part-003.parquet",
            "part-017.parquet",
        ]
        assert read(out).equals(expected) and guard.run(folder / "in", out, COLUMNS, 2, BUNDLE) == []
        print("resumed: two partitions done again, and then none")
    if one / two < MIN_SPEEDUP:
        sys.exit(f"two workers are {one / two:.2f} times as fast as one; expected {MIN_SPEEDUP}")


if __name__ == "__main__":
    main()
