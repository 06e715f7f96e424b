#!/usr/bin/env python3
"""Guards a corpus on a Ray cluster: Parquet files in, the same rows with verdicts out.

usage: guard.py IN OUT [--text COLUMN] [--response COLUMN] [--language COLUMN] [--workers N]

IN is a folder of Parquet files. Each is a partition: one worker reads it, checks its rows and
writes OUT/NAME, under another name until it is whole. A run that was stopped goes on with the
partitions that have no output; a partition whose worker died is done again. A row that cannot be
checked keeps its error in `duoguard_error`, and its other verdict columns are null.

Every worker needs the wheel: installed, or through Ray's runtime environment:
ray.init(runtime_env={"pip": ["duoguard-0.1.0-cp310-abi3-manylinux_2_34_x86_64.whl"]}).
"""

import argparse
import os
import pathlib

import pyarrow as pa
import pyarrow.parquet as pq
import ray

# Rows that are held at a time, so that a large partition needs little memory.
ROWS = 4096
VERDICT = pa.schema(
    [
        ("duoguard_flagged", pa.bool_()),
        ("duoguard_category", pa.string()),
        ("duoguard_score", pa.float32()),
        ("duoguard_language", pa.string()),
        ("duoguard_tokens", pa.int64()),
        ("duoguard_error", pa.string()),
    ]
)


class Checker:
    """A worker: it opens the bundle once, and does one partition after the other."""

    def __init__(self, source, out, columns, bundle=None):
        import duoguard

        self.guard = duoguard.Guard(bundle)
        self.source, self.out, self.columns = pathlib.Path(source), pathlib.Path(out), columns

    def __call__(self, batch):
        rows = [self.partition(str(name)) for name in batch["name"]]
        return {"name": batch["name"], "rows": rows}

    def partition(self, name):
        """Checks one file, and returns how many rows it has."""
        source = pq.ParquetFile(self.source / name)
        # Workers of another try may write at the same time.
        unfinished = self.out / f".{name}.{os.uname().nodename}.{os.getpid()}"
        with pq.ParquetWriter(unfinished, schema(source.schema_arrow)) as writer:
            for rows in source.iter_batches(batch_size=ROWS):
                writer.write_table(self.checked(pa.Table.from_batches([rows])))
        os.replace(unfinished, self.out / name)
        return source.metadata.num_rows

    def checked(self, table):
        """The rows with what the guard says to each."""
        given = {role: table[column].to_pylist() for role, column in self.columns.items() if column}
        batch = self.guard.check_batch(
            given["text"], given.get("response"), given.get("language"), threads=1, on_error="keep"
        )
        verdicts = batch.columns()
        for field in VERDICT:
            values = verdicts[field.name.removeprefix("duoguard_")]
            table = table.append_column(field, pa.array(values, field.type))
        return table


def schema(of_rows):
    """The columns of the output."""
    for field in VERDICT:
        of_rows = of_rows.append(field)
    return of_rows


def run(source, out, columns, workers, bundle=None):
    """Does what is left to do, and returns the names of the partitions that it did."""
    source, out = pathlib.Path(source).resolve(), pathlib.Path(out).resolve()
    out.mkdir(parents=True, exist_ok=True)
    names = [path.name for path in sorted(source.glob("*.parquet"))]
    if not names:
        raise SystemExit(f"{source}: no *.parquet; expected a file for each partition")
    left = [name for name in names if not (out / name).exists()]
    if not left:
        return []
    partitions = ray.data.from_items([{"name": name} for name in left], override_num_blocks=len(left))
    done = partitions.map_batches(
        Checker,
        fn_constructor_args=(str(source), str(out), columns, bundle),
        batch_size=1,
        batch_format="numpy",
        num_cpus=1,
        compute=ray.data.ActorPoolStrategy(size=min(workers, len(left))),
    ).take_all()
    return [row["name"] for row in done]


def main():
    parser = argparse.ArgumentParser(description="Guards a corpus on a Ray cluster.")
    parser.add_argument("source", metavar="IN", help="a folder of Parquet files")
    parser.add_argument("out", metavar="OUT", help="the folder for the same files with verdicts")
    parser.add_argument("--text", default="text", help="the column that is checked")
    parser.add_argument("--response", help="the column of responses to it")
    parser.add_argument("--language", help="the column of language tags")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="each takes one core")
    parser.add_argument("--bundle", help="an installed bundle's name, or a folder that all can read")
    given = parser.parse_args()
    columns = {"text": given.text, "response": given.response, "language": given.language}
    ray.init(log_to_driver=False)
    done = run(given.source, given.out, columns, given.workers, given.bundle)
    print(f"{len(done)} partitions done")


if __name__ == "__main__":
    main()
