#!/usr/bin/env python3
"""Tests guard.py on a local Spark of two workers: verdicts, and rows that cannot be checked.

usage: test.py [ROWS]

Needs `pip install pyspark pyarrow pandas`, the wheel and a Java; ROWS is 20,000 unless given.
"""

import os
import pathlib
import sys
import tempfile
import time

import duoguard
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import SparkSession

sys.path.insert(0, os.path.dirname(__file__))
import guard

TEXTS = ["How do I bake bread at home?", "You people are disgusting and stupid, you filth."]
PARTITIONS, EVERY = 8, 1009


def main():
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    texts = [f"{TEXTS[n % 2]} ({n})" if n % EVERY else None for n in range(rows)]
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "in").mkdir()
        for part in range(PARTITIONS):
            numbers = range(part, rows, PARTITIONS)
            table = pa.table({"id": list(numbers), "prompt": [texts[n] for n in numbers]})
            pq.write_table(table, folder / f"in/part-{part}.parquet")
        spark = SparkSession.builder.master("local[2]").appName("duoguard").getOrCreate()
        started = time.perf_counter()
        guard.run(spark, str(folder / "in"), str(folder / "out"), "prompt")
        print(f"{rows} rows: {time.perf_counter() - started:.1f} s")
        spark.stop()
        found = pq.read_table(folder / "out").sort_by("id").to_pylist()
    assert [row["prompt"] for row in found] == texts
    expected = duoguard.Guard().check_batch(texts, on_error="keep").columns()
    for field in guard.VERDICT.split(", "):
        name = field.split()[0]
        assert [row[name] for row in found] == expected[name.removeprefix("duoguard_")], name
    errors = [row["duoguard_error"] for row in found if row["prompt"] is None]
    assert len(errors) == len(range(0, rows, EVERY)) and "NoneType" in errors[0]
    print("every row is there, with the verdict or the error that the guard gives")


if __name__ == "__main__":
    main()
