#!/usr/bin/env bash
# Measures what is shipped: the stripped C library, with no feature and with those that are on by
# default, and the bundled model.
#
# usage: scripts/size.sh
#
# Builds and installs the library into target/size, and appends the sizes to
# benches/record/MACHINE/size.csv. DUOGUARD_MACHINE names the machine.
set -euo pipefail
cd "$(dirname "$0")/.."

[[ $# -eq 0 ]] || { echo "usage: scripts/size.sh" >&2; exit 2; }
cargo xtask install --prefix target/size/native --no-default-features
cargo xtask install --prefix target/size/default

# bytes FILE...: how many they have together.
bytes() { cat "$@" | wc -c | tr -d ' '; }

# The library as its system names it; one of these is there.
library() { compgen -G "target/size/$1/lib/libduoguard.so.*" ||
    compgen -G "target/size/$1/lib/libduoguard.*.dylib" || echo "target/size/$1/bin/duoguard.dll"; }

bundle=(models/mini/{manifest.json,tokenizer.json,model.onnx,weights.data})
rows="what,size_bytes
bundle,$(bytes "${bundle[@]}")
\"library, native alone\",$(bytes "$(library native)")
\"library, native, onnxruntime and tokenizers\",$(bytes "$(library default)")"
echo "$rows"
cargo xtask record size <<<"$rows"
