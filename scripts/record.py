"""Rows of a machine's record, for the scripts that measure."""

import csv
import io
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[1]


def append(name, rows):
    """Appends rows, dicts with the same keys, to benches/record/MACHINE/NAME.csv, dated."""
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    command = ["cargo", "xtask", "record", name]
    subprocess.run(command, cwd=ROOT, input=text.getvalue(), text=True, check=True)


def last(name):
    """The rows of the last run, none where there is no such record."""
    command = ["cargo", "xtask", "record"]
    folder = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
    path = pathlib.Path(folder) / f"{name}.csv"
    if not path.exists():
        return []
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    times = [int(row["unix_s"]) for row in rows]
    return [row for row, time in zip(rows, times) if time == max(times)]
