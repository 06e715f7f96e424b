#!/usr/bin/env python3
"""Guards a corpus on Spark: Parquet in, the same rows with verdicts out.

usage: guard.py IN OUT [COLUMN]

Every Python worker needs the wheel, and opens the bundle once. A row that cannot be checked keeps
its error in `duoguard_error`, and its other verdict columns are null. Spark does a task whose worker
died again, and writes OUT when all are done.
"""

import functools
import sys

from pyspark.sql import SparkSession

VERDICT = (
    "duoguard_flagged boolean, duoguard_category string, duoguard_score float, "
    "duoguard_language string, duoguard_error string"
)


@functools.cache
def guard():
    """The guard of this worker."""
    import duoguard

    return duoguard.Guard()


def check(batches, column):
    """The rows of some data frames with what the guard says to each."""
    import pandas

    for rows in batches:
        texts = [None if pandas.isna(text) else text for text in rows[column]]
        verdicts = guard().check_batch(texts, threads=1, on_error="keep").columns()
        for field in VERDICT.split(", "):
            name = field.split()[0]
            values = verdicts[name.removeprefix("duoguard_")]
            rows[name] = pandas.Series(values, index=rows.index, dtype=object)
        yield rows


def run(spark, source, out, column):
    rows = spark.read.parquet(source)
    fields = [f"`{field.name}` {field.dataType.simpleString()}" for field in rows.schema.fields]
    schema = ", ".join([*fields, VERDICT])
    checked = rows.mapInPandas(functools.partial(check, column=column), schema)
    checked.write.mode("errorifexists").parquet(out)


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit("usage: guard.py IN OUT [COLUMN]")
    session = SparkSession.builder.appName("duoguard").getOrCreate()
    run(session, sys.argv[1], sys.argv[2], sys.argv[3] if len(sys.argv) == 4 else "text")
