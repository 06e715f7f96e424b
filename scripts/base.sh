#!/usr/bin/env bash
# Makes the checkpoint that the base model is trained from; recipes/base/README.md has the rest.
#
# usage: scripts/base.sh OUT --texts PATH... [--pieces N]
#        scripts/base.sh OUT --texts PATH... --table
set -euo pipefail
here=$PWD
cd "$(dirname "$0")/.."
python=$(scripts/venv.sh base base)
root=$PWD
cd "$here"
exec "$python" "$root/recipes/base/base.py" --cache "$root/target/base-packages" "$@"
