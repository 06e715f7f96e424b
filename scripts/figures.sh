#!/usr/bin/env bash
# Measures every figure of the documents again: size, speed, memory, peers and quality.
#
# usage: scripts/figures.sh [BENCHMARKS [DATA]]
#
# Appends to the records of this machine, in benches/record, and writes the tables of the documents;
# their marks name the machine that they show. With the folder of the benchmarks, quality too; with
# that of the training data, the linear model's. Takes about five minutes of a machine that should
# do nothing else, and before the first time what scripts/peers.sh installs. DUOGUARD_MACHINE names
# the machine.
set -euo pipefail

[[ $# -le 2 ]] || { echo "usage: scripts/figures.sh [BENCHMARKS [DATA]]" >&2; exit 2; }
folders=()
for folder in "$@"; do folders+=("$(realpath "$folder")"); done
cd "$(dirname "$0")/.."

timed() {
    local started=$SECONDS
    echo "== $*" >&2
    "$@"
    echo "== $*: $((SECONDS - started)) s" >&2
}

ORT_DYLIB_PATH=$(cargo xtask ort)
export ORT_DYLIB_PATH
timed scripts/size.sh
for bench in latency start languages curves; do
    timed cargo bench -p duoguard-benches --bench "$bench"
done
timed scripts/peers.sh transformers
timed scripts/peers.sh openvino
if [[ ${#folders[@]} -gt 0 ]]; then
    timed python3 scripts/quality.py "${folders[@]}"
else
    echo "SKIPPED, quality: it needs the benchmarks; scripts/figures.sh BENCHMARKS" >&2
fi
cargo xtask tables
