#!/usr/bin/env bash
# Makes the golden checkpoints of export/tests/golden again, with transformers.
#
# usage: scripts/golden.sh
#
# PyTorch and transformers (6 GB) go into target/transformers; DUOGUARD_PYTHON may name a Python
# that has them already.
set -euo pipefail
cd "$(dirname "$0")/.."

[[ $# -eq 0 ]] || { echo "usage: scripts/golden.sh" >&2; exit 2; }
python=${DUOGUARD_PYTHON:-$(scripts/venv.sh transformers transformers)}
exec "$python" export/tests/golden/make.py
