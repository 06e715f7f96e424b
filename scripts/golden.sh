#!/usr/bin/env bash
# Makes the golden checkpoints of export/tests/golden again, with transformers.
#
# usage: scripts/golden.sh [NAME...]     all of them without a name
#
# PyTorch and transformers (6 GB) go into target/transformers; DUOGUARD_PYTHON may name a Python
# that has them already.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${DUOGUARD_PYTHON:-$(scripts/venv.sh transformers transformers)}
exec "$python" export/tests/golden/make.py "$@"
