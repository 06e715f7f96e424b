#!/usr/bin/env python3
"""Guards a corpus on Spark: Parquet files in, the same rows with verdicts out.

usage: guard.py IN OUT [--text COLUMN] [--response COLUMN] [--language COLUMN] [--bundle BUNDLE]

IN is a folder of Parquet files, on this machine or where a URL names it. Each is a partition: a job
of its own checks its rows and writes the folder OUT/NAME, which is whole when `_SUCCESS` is in it.
A run that was stopped goes on with the partitions that are not whole; a task whose worker died is
done again. A row that cannot be checked keeps its error in `duoguard_error`, and its other verdict
columns are null. Every Python worker needs the wheel, and opens the bundle once.
"""

import argparse
import functools
import os
from concurrent.futures import ThreadPoolExecutor

from pyarrow import fs
from pyspark.sql import SparkSession

VERDICT = {
    "duoguard_flagged": "boolean",
    "duoguard_category": "string",
    "duoguard_score": "float",
    "duoguard_language": "string",
    "duoguard_tokens": "bigint",
    "duoguard_error": "string",
}


@functools.cache
def opened(bundle):
    """The guard of this worker."""
    import duoguard

    return duoguard.Guard(bundle)


def check(batches, columns, bundle):
    """The rows of some data frames with what the guard says to each."""
    import pandas

    for rows in batches:
        given = {
            role: [None if pandas.isna(value) else value for value in rows[column]]
            for role, column in columns.items()
            if column
        }
        batch = opened(bundle).check_batch(
            given["text"], given.get("response"), given.get("language"), threads=1, on_error="keep"
        )
        verdicts = batch.columns()
        for name in VERDICT:
            values = verdicts[name.removeprefix("duoguard_")]
            rows[name] = pandas.Series(values, index=rows.index, dtype=object)
        yield rows


def partition(spark, source, out, columns, bundle):
    """Checks one file; what another run left unfinished is written anew."""
    rows = spark.read.parquet(source)
    fields = [f"`{field.name}` {field.dataType.simpleString()}" for field in rows.schema.fields]
    verdict = [f"{name} {kind}" for name, kind in VERDICT.items()]
    checker = functools.partial(check, columns=columns, bundle=bundle)
    checked = rows.mapInPandas(checker, ", ".join(fields + verdict))
    checked.write.mode("overwrite").parquet(out)


def folder(place):
    """A folder as Spark names it, and the files in it: their paths below it."""
    if "://" in place:
        system, path = fs.FileSystem.from_uri(place)
    else:
        path = os.path.abspath(place)
        system, place = fs.LocalFileSystem(), f"file:{path}"
    listed = fs.FileSelector(path, allow_not_found=True, recursive=True)
    files = system.get_file_info(listed)
    return place, {os.path.relpath(file.path, path) for file in files if file.is_file}


def run(spark, source, out, columns, bundle=None):
    """Does what is left to do, and returns the names of the partitions that it did."""
    (source, files), (out, done) = folder(source), folder(out)
    names = sorted(name for name in files if name.endswith(".parquet") and os.sep not in name)
    if not names:
        raise SystemExit(f"{source}: no *.parquet; expected a file for each partition")
    left = [name for name in names if os.path.join(name, "_SUCCESS") not in done]
    # Workers import from this file what they are to do.
    spark.sparkContext.addPyFile(os.path.abspath(__file__))
    with ThreadPoolExecutor(spark.sparkContext.defaultParallelism) as jobs:
        begun = [
            jobs.submit(partition, spark, f"{source}/{name}", f"{out}/{name}", columns, bundle)
            for name in left
        ]
        for job in begun:
            job.result()
    return left


def main():
    parser = argparse.ArgumentParser(description="Guards a corpus on Spark.")
    parser.add_argument("source", metavar="IN", help="a folder of Parquet files")
    parser.add_argument("out", metavar="OUT", help="the folder for their rows with verdicts")
    parser.add_argument("--text", default="text", help="the column that is checked")
    parser.add_argument("--response", help="the column of responses to it")
    parser.add_argument("--language", help="the column of language tags")
    parser.add_argument("--bundle", help="a bundle's name, or a folder that all can read")
    given = parser.parse_args()
    columns = {"text": given.text, "response": given.response, "language": given.language}
    spark = SparkSession.builder.appName("duoguard").getOrCreate()
    done = run(spark, given.source, given.out, columns, given.bundle)
    print(f"{len(done)} partitions done")


if __name__ == "__main__":
    # Under the name that workers import it by: they have another __main__.
    import guard

    guard.main()
