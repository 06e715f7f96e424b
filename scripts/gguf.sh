#!/usr/bin/env bash
# Makes the golden GGUF files of export/tests/golden/gguf again, or asks other readers about a file.
#
# usage: scripts/gguf.sh             the golden files
#        scripts/gguf.sh FILE OUT    hashes of FILE's tensors, tokens and logits, into OUT
#
# The packages (6 GB) go into target/gguf; DUOGUARD_PYTHON may name a Python that has them already.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${DUOGUARD_PYTHON:-$(scripts/venv.sh gguf gguf)}
exec "$python" export/tests/golden/gguf_files.py "$@"
