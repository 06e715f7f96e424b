#!/usr/bin/env bash
# Times checks beside those of transformers, of llama.cpp and of ONNX Runtime in Python.
#
# usage: scripts/peers.sh [BUNDLE [CHECKPOINT]]
#
# Appends medians to benches/record/MACHINE/peers.csv. PyTorch, transformers (6 GB) and llama.cpp,
# which is built for this processor (some eight minutes of one core), go into target/transformers;
# DUOGUARD_PYTHON may name a Python that has them already. DUOGUARD_MACHINE names the machine.
set -euo pipefail

[[ $# -le 2 ]] || { echo "usage: scripts/peers.sh [BUNDLE [CHECKPOINT]]" >&2; exit 2; }
folders=()
for folder in "$@"; do folders+=("$(realpath "$folder")"); done
cd "$(dirname "$0")/.."

# The library alone, without its tools.
export CMAKE_ARGS="-DGGML_NATIVE=ON"
for part in LLAVA_BUILD MTMD_BUILD LLAMA_BUILD_COMMON LLAMA_BUILD_TOOLS LLAMA_BUILD_TESTS \
    LLAMA_BUILD_EXAMPLES LLAMA_BUILD_SERVER; do
    CMAKE_ARGS+=" -D$part=OFF"
done
python=${DUOGUARD_PYTHON:-$(scripts/venv.sh transformers transformers llama.cpp)}
ORT_DYLIB_PATH=$(cargo xtask ort)
cargo build --release --package duoguard-ffi
case $(uname) in
    Darwin) library=libduoguard.dylib ;;
    *) library=libduoguard.so ;;
esac
DUOGUARD_LIBRARY=$(realpath "${CARGO_TARGET_DIR:-target}/release/$library")
export ORT_DYLIB_PATH DUOGUARD_LIBRARY
exec "$python" benches/peers/peers.py "${folders[@]}"
