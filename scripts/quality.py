#!/usr/bin/env python3
"""Judges the bundled models on the benchmarks, with both engines, and records what they are worth.

usage: scripts/quality.py BENCHMARKS [DATA]

BENCHMARKS is the folder that holds eval_data_En and its siblings. With DATA, the folder of the
training data, the linear model of recipes/mini-linear.toml is trained and judged too; without, its AUROC
is that of the machine's last record. Pages, scores and reports go into target/figures; rows are
appended to quality.csv and agreement.csv in benches/record/MACHINE. DUOGUARD_MACHINE names the
machine.
"""

import json
import os
import pathlib
import subprocess
import sys

import record

ROOT = record.ROOT
TARGET = ROOT / os.environ.get("CARGO_TARGET_DIR", "target")
FOLDER = ROOT / "target/figures"
MODELS = ["base", "mini"]
# The first one's figures are recorded; on how many rows the other agrees is too.
ENGINES = ["native", "onnxruntime"]


def run(*command):
    result = subprocess.run([str(part) for part in command], cwd=ROOT)
    if result.returncode:
        sys.exit(f"scripts/quality.py: {' '.join(map(str, command))} failed ({result.returncode})")


def evaluate(model, engine, benchmarks):
    """The report of `duoguard eval`, and the rows that it scored."""
    files = [FOLDER / f"{model}-{engine}.{end}" for end in ("json", "jsonl", "html")]
    options = zip(("--json", "--scores", "--report"), files)
    run(
        TARGET / "release/duoguard",
        "eval",
        "--model",
        f"models/{model}",
        "--engine",
        engine,
        "--benchmarks",
        benchmarks,
        *(part for option in options for part in option),
    )
    with files[1].open() as lines:
        rows = [json.loads(line) for line in lines]
    return json.loads(files[0].read_text()), rows


def agreement(first, second):
    """On how many rows two runs flag alike."""

    def which(row):
        return {key: value for key, value in row.items() if key not in ("score", "flagged")}

    if not first or [which(row) for row in first] != [which(row) for row in second]:
        sys.exit("scripts/quality.py: the engines scored different rows, or none")
    return sum(a["flagged"] == b["flagged"] for a, b in zip(first, second))


def linear(benchmarks, data):
    """Language -> the linear model's mean AUROC."""
    if data is None:
        why = "it needs the training data; its AUROC is that of the last record"
        print(f"SKIPPED, the linear model: {why}", file=sys.stderr)
        return {row["language"]: row["linear_auroc"] for row in record.last("quality")}
    path = FOLDER / "linear.json"
    run(
        "cargo",
        "run",
        "--release",
        "-p",
        "duoguard-trainer",
        "--example",
        "linear_baseline",
        "--",
        "recipes/mini-linear.toml",
        "--data",
        data,
        "--benchmarks",
        benchmarks,
        "--json",
        path,
    )
    return {language: f"{auroc:.5f}" for language, auroc in json.loads(path.read_text()).items()}


def quality(report, linear):
    """A row a language."""
    for language in dict.fromkeys(result["language"] for result in report["results"]):
        results = [result for result in report["results"] if result["language"] == language]
        # Flagging everything finds all that is unsafe, so that its precision is their share.
        everything = [2 * r["positives"] / (r["rows"] + r["positives"]) for r in results]
        average = report["average"][language]
        shares = {metric: average[metric] for metric in ("auroc", "fpr", "f1")}
        shares["f1_of_flagging_everything"] = sum(everything) / len(everything)
        yield {
            "model": report["model"],
            "engine": report["engine"],
            "language": language,
            **{name: "" if share is None else f"{share:.5f}" for name, share in shares.items()},
            "linear_auroc": linear.get(language, ""),
        }


def main(benchmarks, data=None):
    benchmarks, data = pathlib.Path(benchmarks).resolve(), data and pathlib.Path(data).resolve()
    FOLDER.mkdir(parents=True, exist_ok=True)
    fetched = subprocess.run(
        ["cargo", "xtask", "ort"], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
    )
    os.environ["ORT_DYLIB_PATH"] = fetched.stdout.strip()
    run("cargo", "build", "--release", "--package", "duoguard-cli")
    of_linear = linear(benchmarks, data)
    rows, agreements = [], []
    for model in MODELS:
        (report, first), (_, second) = (evaluate(model, engine, benchmarks) for engine in ENGINES)
        engines = dict(first=ENGINES[0], second=ENGINES[1])
        equal = agreement(first, second)
        agreements.append(dict(model=model, **engines, equal=equal, rows=len(first)))
        rows += quality(report, of_linear)
    print(f"the pages: {FOLDER}/*.html")
    record.append("agreement", agreements)
    record.append("quality", rows)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: scripts/quality.py BENCHMARKS [DATA]")
    main(*sys.argv[1:])
