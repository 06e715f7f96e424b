#!/usr/bin/env bash
# Makes sure of a Python virtual environment, and prints the path of its Python.
#
# usage: scripts/venv.sh NAME REQUIREMENTS...
#
# The packages of scripts/requirements/REQUIREMENTS.txt are installed by pip, from a package index,
# into target/NAME. What was installed is not installed again until its requirements change.
set -euo pipefail
cd "$(dirname "$0")/.."

[[ $# -ge 2 ]] || { echo "usage: scripts/venv.sh NAME REQUIREMENTS..." >&2; exit 2; }
folder=target/$1
python=$PWD/$folder/bin/python
if [[ ! -x $python ]]; then
    python3 -m venv "$folder" >&2 || {
        echo "scripts/venv.sh: needs Python 3 with venv (Debian: apt-get install python3-venv)" >&2
        exit 1
    }
fi
for name in "${@:2}"; do
    requirements=scripts/requirements/$name.txt
    if ! cmp --quiet "$requirements" "$folder/$name.txt"; then
        "$python" -m pip install --quiet --disable-pip-version-check -r "$requirements" >&2 || {
            echo "scripts/venv.sh: pip, which needs a package index, failed on $requirements" >&2
            exit 1
        }
        cp "$requirements" "$folder/$name.txt"
    fi
done
echo "$python"
