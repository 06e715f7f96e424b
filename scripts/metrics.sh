#!/usr/bin/env bash
# Compares the metrics of duoguard-eval with those of scikit-learn, to 1e-6.
#
# usage: scripts/metrics.sh [SCORES.jsonl REPORT.json]
#
# Without files, of constructed cases (ties, one class alone, one row); with them, of a run of
# `duoguard eval --scores SCORES.jsonl --json REPORT.json`. scikit-learn goes into
# target/scikit-learn.
set -euo pipefail

case $# in
    0 | 2) files=() ;;
    *) echo "usage: scripts/metrics.sh [SCORES.jsonl REPORT.json]" >&2; exit 2 ;;
esac
for file in "$@"; do files+=("$(realpath "$file")"); done
cd "$(dirname "$0")/.."

python=$(scripts/venv.sh scikit-learn scikit-learn)
if [[ ${#files[@]} -eq 0 ]]; then
    folder=target/metric-cases
    mkdir -p "$folder"
    # Of the workspace, as the tests build it, and so not built again.
    cargo build --release --workspace --example metric_cases
    "${CARGO_TARGET_DIR:-target}/release/examples/metric_cases" "$folder"
    files=("$folder/scores.jsonl" "$folder/report.json")
fi
exec "$python" eval/examples/metrics.py "${files[@]}"
