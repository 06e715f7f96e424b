#!/usr/bin/env bash
# Times checks beside those of other people's engines.
#
# usage: scripts/peers.sh transformers [BUNDLE [CHECKPOINT]]
#        scripts/peers.sh openvino [BUNDLE...]
#
# `transformers` stands for PyTorch, llama.cpp and ONNX Runtime in Python, on a decoder (mini):
# PyTorch and transformers (6 GB), and llama.cpp, which is built for this processor (some eight
# minutes of one core), go into target/transformers. `openvino` stands for OpenVINO, as it comes and
# quantised by NNCF, and ONNX Runtime in Python (0.7 GB, in target/openvino), on mini and base.
# Appends medians to benches/record/MACHINE/peers.csv or openvino.csv. DUOGUARD_PYTHON may name a
# Python that has the packages already; DUOGUARD_MACHINE names the machine.
set -euo pipefail

usage() {
    sed -n '4,5s/^# //p' "$0" >&2
    exit 2
}
[[ $# -ge 1 ]] || usage
peers=$1
folders=()
for folder in "${@:2}"; do folders+=("$(realpath "$folder")"); done
cd "$(dirname "$0")/.."

case $peers in
    transformers)
        [[ $# -le 3 ]] || usage
        script=benches/peers/peers.py
        # The library alone, without its tools.
        export CMAKE_ARGS="-DGGML_NATIVE=ON"
        for part in LLAVA_BUILD MTMD_BUILD LLAMA_BUILD_COMMON LLAMA_BUILD_TOOLS LLAMA_BUILD_TESTS \
            LLAMA_BUILD_EXAMPLES LLAMA_BUILD_SERVER; do
            CMAKE_ARGS+=" -D$part=OFF"
        done
        python=${DUOGUARD_PYTHON:-$(scripts/venv.sh transformers transformers llama.cpp)}
        ;;
    openvino)
        script=benches/peers/openvino_peer.py
        python=${DUOGUARD_PYTHON:-$(scripts/venv.sh openvino openvino)}
        ;;
    *) usage ;;
esac
ORT_DYLIB_PATH=$(cargo xtask ort)
cargo build --release --package duoguard-ffi
case $(uname) in
    Darwin) library=libduoguard.dylib ;;
    *) library=libduoguard.so ;;
esac
DUOGUARD_LIBRARY=$(realpath "${CARGO_TARGET_DIR:-target}/release/$library")
export ORT_DYLIB_PATH DUOGUARD_LIBRARY
exec "$python" "$script" "${folders[@]}"
