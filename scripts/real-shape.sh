#!/usr/bin/env bash
# Measures the export of a random checkpoint of a real shape: parity with transformers, memory and
# speed.
#
# usage: scripts/real-shape.sh qwen2.5-0.5b|llama-3.2-1b TOKENIZER.json [SCHEME]
#
# The checkpoint and its bundles (2 to 5 GB) go into target/real, PyTorch and transformers (6 GB)
# into target/transformers; DUOGUARD_PYTHON may name a Python that has them already.
set -euo pipefail

if [[ $# -lt 2 || $# -gt 3 ]]; then
    echo "usage: scripts/real-shape.sh qwen2.5-0.5b|llama-3.2-1b TOKENIZER.json [SCHEME]" >&2
    exit 2
fi
tokenizer=$(realpath "$2")
cd "$(dirname "$0")/.."

python=${DUOGUARD_PYTHON:-$(scripts/venv.sh transformers transformers)}
ORT_DYLIB_PATH=$(cargo xtask ort)
export ORT_DYLIB_PATH
cargo build --release --package duoguard-cli
mkdir -p target/real
exec "$python" export/tests/golden/real.py "$1" "$tokenizer" \
    "${CARGO_TARGET_DIR:-target}/release/duoguard" target/real "${@:3}"
