#!/usr/bin/env python3
"""Tests guard.py on a local Spark of two workers: verdicts, a worker killed, a run resumed.

usage: test.py [ROWS]

Prints the seconds that ROWS rows (100,000) take. Needs `pip install pyspark pyarrow pandas`, the
wheel and a Java.
"""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import duoguard
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
from pyspark.sql import SparkSession

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import guard

# The small bundle: what is tested is what is around it.
BUNDLE = "mini"
PARTITIONS, EVERY = 40, 10_007
COLUMNS = {"text": "prompt", "response": None, "language": "language"}
TEXTS = [
    ("How do I bake bread at home, and how long does the dough have to rest?", "en"),
    ("Comment faire du pain à la maison, et combien de temps la pâte repose-t-elle ?", "fr"),
    ("You people are disgusting and stupid, nobody wants you here, you filth.", "en"),
    ("¿Cómo se hace pan en casa y cuánto tiempo reposa la masa?", "es"),
]
# As long as a paragraph, some 400 characters.
PARAGRAPHS = [" ".join([text] * 6) for text, _ in TEXTS]


def write_rows(folder, rows):
    """Parquet files of ordinary rows, and a few that cannot be checked."""
    folder.mkdir()
    each = rows // PARTITIONS
    for part in range(PARTITIONS):
        numbers = range(part * each, (part + 1) * each)
        texts = [f"{PARAGRAPHS[n % 4]} ({n})" if n % EVERY else None for n in numbers]
        languages = [TEXTS[n % 4][1] for n in numbers]
        table = pa.table({"id": list(numbers), "prompt": texts, "language": languages})
        pq.write_table(table, folder / f"part-{part:03}.parquet")
    return each * PARTITIONS


def read(folder):
    return pa.dataset.dataset(folder).to_table().sort_by("id")


def checking():
    """The processes of Spark's Python workers."""
    found = []
    for process in pathlib.Path("/proc").iterdir():
        try:
            words = (process / "cmdline").read_text()
            parent = (process / "stat").read_text().rsplit(")")[1].split()[1]
            # They are forks of a daemon of the same name.
            of_parent = pathlib.Path("/proc", parent, "cmdline").read_text()
        except (OSError, IndexError):
            continue
        if "pyspark.daemon" in words and "pyspark.daemon" in of_parent:
            found.append(int(process.name))
    return found


def kill_one_worker(out, killed):
    """Ends one of the processes that check, once some partitions are done."""
    while len(list(out.glob("*/_SUCCESS"))) < 3 or not checking():
        time.sleep(0.05)
    killed.append(checking()[0])
    os.kill(killed[0], signal.SIGKILL)


def main():
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    os.environ["PYSPARK_PYTHON"] = sys.executable
    # Two workers; a task is tried four times, as on a cluster.
    builder = SparkSession.builder.master("local[2,4]").appName("duoguard")
    spark = builder.config("spark.ui.showConsoleProgress", "false").getOrCreate()
    spark.sparkContext.setLogLevel("OFF")
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        source, out = folder / "in", folder / "out"
        rows = write_rows(source, rows)
        started = time.perf_counter()
        assert len(guard.run(spark, str(source), str(out), COLUMNS, BUNDLE)) == PARTITIONS
        took = time.perf_counter() - started
        print(f"{rows} rows: {took:.1f} s, {rows / took:.0f} a second")
        found = read(out)
        given = read(source)
        assert found.select(given.column_names).equals(given)
        texts, languages = given["prompt"].to_pylist(), given["language"].to_pylist()
        batch = duoguard.Guard(BUNDLE).check_batch(texts, language=languages, on_error="keep")
        expected = batch.columns()
        for name in guard.VERDICT:
            assert found[name].to_pylist() == expected[name.removeprefix("duoguard_")], name
        errors = found["duoguard_error"].drop_null()
        assert len(errors) == len(range(0, rows, EVERY)) and "NoneType" in errors[0].as_py()
        print("every row is there, with the verdict or the error that the guard gives")

        killed = []
        killer = threading.Thread(target=kill_one_worker, args=[folder / "killed", killed])
        killer.start()
        guard.run(spark, str(source), str(folder / "killed"), COLUMNS, BUNDLE)
        killer.join()
        assert killed and read(folder / "killed").equals(found)
        print("a worker killed: the output is complete and equal")

        # One partition is not begun, and one was being written.
        shutil.rmtree(out / "part-003.parquet")
        (out / "part-017.parquet/_SUCCESS").unlink()
        left = ["part-003.parquet", "part-017.parquet"]
        assert guard.run(spark, str(source), str(out), COLUMNS, BUNDLE) == left
        assert read(out).equals(found)
        assert guard.run(spark, str(source), str(out), COLUMNS, BUNDLE) == []
        print("resumed: two partitions done again, and then none")
        spark.stop()

        shutil.rmtree(out / "part-005.parquet")
        program = [sys.executable, guard.__file__, source, out, "--text", "prompt"]
        program += ["--language", "language", "--bundle", BUNDLE]
        said = subprocess.run(program, check=True, stdout=subprocess.PIPE, text=True).stdout
        assert said == "1 partitions done\n" and read(out).equals(found)
        print("as a program: one partition done")


if __name__ == "__main__":
    main()
