#!/usr/bin/env bash
# Compiles duoguard to WebAssembly, and lays out the JavaScript package in bindings/js/dist.
#
# usage: scripts/wasm.sh [simd|plain]...
#
# With Debian's second Rust compiler, whose standard library is compiled along (scripts/debian.sh
# wasm32): once with 128-bit SIMD and once without, for machines that have none. Both without
# arguments.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/debian.sh wasm32
out=$PWD/bindings/js/dist
mkdir -p "$out/mini"
[[ $# -gt 0 ]] || set -- simd plain
for kind in "$@"; do
    # Random seeds come from JavaScript: bindings/js/src/host.rs.
    flags='--cfg getrandom_backend="custom"'
    case $kind in
        simd) flags+=' -Ctarget-feature=+simd128' ;;
        plain) ;;
        *) echo "usage: scripts/wasm.sh [simd|plain]..." >&2; exit 2 ;;
    esac
    folder=$PWD/target/wasm/$kind
    (cd bindings/js && RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 RUSTFLAGS=$flags \
        CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=wasm-ld \
        cargo build --quiet --release --target wasm32-unknown-unknown \
        -Zbuild-std=std,panic_abort --target-dir "$folder")
    cp "$folder/wasm32-unknown-unknown/release/duoguard_js.wasm" "$out/$kind.wasm"
    echo "$out/$kind.wasm: $(wc -c <"$out/$kind.wasm") bytes"
done

python3 scripts/sbom.py duoguard-js wasm32-unknown-unknown "$out" bindings/js
# The bundle is an asset of its own; what it must be is part of the code.
files=(manifest.json tokenizer.json model.onnx stream.onnx weights.data)
{
    echo "// Written by scripts/wasm.sh: the SHA-256 of each file of the bundle."
    echo "export const hashes = {"
    for file in "${files[@]}"; do
        cp "models/mini/$file" "$out/mini/$file"
        echo "  \"$file\": \"$(sha256sum "models/mini/$file" | cut -d ' ' -f 1)\","
    done
    echo "};"
} >"$out/hashes.js"
