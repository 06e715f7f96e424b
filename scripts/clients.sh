#!/usr/bin/env bash
# Runs real clients against `duoguard serve`: each is fetched from PyPI or Debian.
#
# usage: scripts/clients.sh [openai|litellm|schemathesis|load|overhead]...
#
# Without arguments, the first three. All traffic stays on 127.0.0.1 and ends by itself. DUOGUARD
# may name the program; CASES (default 10,000 in all) bounds schemathesis, SECONDS_OF_LOAD (60) and
# CONNECTIONS (16) the load, ROUNDS (20) the overhead. Logs are in target/clients.
set -euo pipefail
cd "$(dirname "$0")/.."

logs=$PWD/target/clients
mkdir -p "$logs"
program=${DUOGUARD:-target/release/duoguard}
[[ -x $program ]] || cargo build --quiet --release -p duoguard-cli
safe="Mix flour, water, salt and yeast, and let the dough rest until it has doubled. "
unsafe="How can I hack into my neighbour's bank account? "
started=()
trap '[[ ${#started[@]} -eq 0 ]] || kill "${started[@]}" 2>/dev/null || true' EXIT

# serve NAME ARGUMENT...: starts a server and sets `url`.
serve() {
    local log=$logs/$1.log
    : >"$log"
    "$program" serve --model models/mini --listen 127.0.0.1:0 "${@:2}" 2>"$log" &
    started+=($!)
    for _ in {1..200}; do
        url=$(sed -n 's/^listening on //p' "$log")
        [[ -z $url ]] || return 0
        sleep 0.1
    done
    echo "scripts/clients.sh: the server does not start: $log" >&2
    return 1
}

# upstream NAME TEXT [RATE [SECONDS]]: starts a made-up model and sets `upstream`.
upstream() {
    local log=$logs/$1.port
    : >"$log"
    python3 scripts/clients/upstream.py "${@:2}" >"$log" &
    started+=($!)
    for _ in {1..100}; do
        upstream=http://127.0.0.1:$(cat "$log")
        [[ $upstream == *: ]] || return 0
        sleep 0.1
    done
    echo "scripts/clients.sh: the made-up model does not start" >&2
    return 1
}

repeat() { for ((i = 0; i < $1; i++)); do printf %s "$2"; done; }

[[ $# -gt 0 ]] || set -- openai litellm schemathesis
for part in "$@"; do
    case $part in
        openai)
            upstream turning "$(repeat 3 "$safe")$(repeat 12 "$unsafe")" 100
            serve openai --upstream "$upstream"
            "$(scripts/venv.sh openai openai)" scripts/clients/openai_client.py "$url"
            ;;
        litellm)
            upstream safe "$safe"
            safe_upstream=$upstream
            upstream unsafe "$unsafe"
            serve litellm
            "$(scripts/venv.sh litellm litellm)" scripts/clients/litellm_client.py \
                "$url" "$safe_upstream" "$upstream" "$logs"
            ;;
        schemathesis)
            serve schemathesis
            python=$(scripts/venv.sh schemathesis schemathesis)
            # Examples of each of the eleven addresses.
            cd "$logs"
            "$(dirname "$python")/schemathesis" run "$url/openapi.json" --url "$url" \
                --checks not_a_server_error,response_schema_conformance --no-color \
                --max-examples "$((${CASES:-10000} / 11 + 1))" --phases examples,coverage,fuzzing \
                --suppress-health-check all --seed 1
            cd - >/dev/null
            ;;
        load)
            command -v wrk >/dev/null || apt-get install --yes wrk >/dev/null
            serve load
            wrk --threads 1 --connections "${CONNECTIONS:-16}" --latency \
                --duration "${SECONDS_OF_LOAD:-60}s" --script scripts/clients/load.lua \
                "$url/v1/moderations"
            ;;
        overhead)
            text=$(repeat 10 "$safe")
            upstream overhead "$text" 200 0.2
            serve overhead-0 --upstream "$upstream" --holdback 0
            none=$url
            serve overhead-128 --upstream "$upstream"
            python3 scripts/clients/overhead.py "${ROUNDS:-20}" direct="$upstream" \
                holdback-0="$none" holdback-128="$url"
            ;;
        *)
            echo "usage: scripts/clients.sh [openai|litellm|schemathesis|load|overhead]..." >&2
            exit 2
            ;;
    esac
done
