#!/usr/bin/env bash
# Runs real clients against `duoguard serve`: each is fetched from PyPI or Debian.
#
# usage: scripts/clients.sh [openai|litellm|langchain|schemathesis|page|llama]...
#
# Without arguments, the first five; `llama` builds llama.cpp's server from source (some ten minutes
# of one core, with cmake). All traffic stays on 127.0.0.1 and ends by itself. DUOGUARD may name the
# program; CASES (default 27,000) bounds schemathesis, which finds about two fifths of them: some
# addresses have few. Logs are in target/clients.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/clients/start.sh

[[ $# -gt 0 ]] || set -- openai litellm langchain schemathesis page
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
        langchain)
            upstream langchain-safe "$safe"
            safe_upstream=$upstream
            upstream langchain-unsafe "$unsafe"
            serve langchain
            "$(scripts/venv.sh langchain langchain)" scripts/clients/langchain_client.py \
                "$url" "$safe_upstream" "$upstream"
            ;;
        schemathesis)
            serve schemathesis
            python=$(scripts/venv.sh schemathesis schemathesis)
            # Examples of each of the eleven addresses.
            cd "$logs"
            "$(dirname "$python")/schemathesis" run "$url/openapi.json" --url "$url" \
                --checks not_a_server_error,response_schema_conformance --no-color \
                --max-examples "$((${CASES:-27000} / 11 + 1))" --phases examples,coverage,fuzzing \
                --suppress-health-check all --seed 1
            cd - >/dev/null
            ;;
        page)
            scripts/debian.sh browser
            serve page
            "$(scripts/venv.sh page page)" scripts/clients/page.py "$url" "$logs"
            ;;
        llama)
            # The library alone, without llama.cpp's own tools.
            export CMAKE_ARGS="-DGGML_NATIVE=ON"
            for option in LLAVA_BUILD MTMD_BUILD LLAMA_BUILD_COMMON LLAMA_BUILD_TOOLS \
                LLAMA_BUILD_TESTS LLAMA_BUILD_EXAMPLES LLAMA_BUILD_SERVER; do
                CMAKE_ARGS+=" -D$option=OFF"
            done
            python=$(scripts/venv.sh llama-server llama-server)
            "$python" scripts/clients/llama_client.py "$program" "$logs"
            ;;
        *)
            echo "usage: scripts/clients.sh [openai|litellm|langchain|schemathesis|page|llama]..." >&2
            exit 2
            ;;
    esac
done
