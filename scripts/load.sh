#!/usr/bin/env bash
# Loads `duoguard serve` on this machine, and says what came of it.
#
# usage: scripts/load.sh [health|rate|overhead|shared|idle|slow|killed|stop|memory]...
#
#   health    wrk, CONNECTIONS (16) for SECONDS_OF_LOAD (60), asks /health, which checks nothing
#   rate      the same with texts of BYTES ("44 321 1000 4000"), beside the library in a loop
#   overhead  what the proxy adds to a made-up model of 200 tokens a second, holding back 0, 32 and
#             128 bytes, ROUNDS (20) times
#   shared    the library with 1, 4 and 16 texts in a call, which share runs of the engine `native`
#   idle      1,000 open connections that say nothing, and one that asks
#   slow      100 clients that send a header line a second, and one that asks
#   killed    clients that are killed in the middle of their requests
#   stop      SIGTERM while 64 connections ask all the time: what was accepted is answered
#   memory    MINUTES (20) of mixed texts at 50 requests a second: memory and errors
#
# Without arguments, all but `memory`. ENGINE (default `auto`) is the engine. The first four want a
# machine that does nothing else. DUOGUARD and LOOP may name the program and the library's loop.
# wrk is Debian's.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/clients/start.sh
engine=${ENGINE:-auto}
loop=${LOOP:-target/release/examples/loop}
short="How do I bake bread at home without an oven?"
prompt="I am writing a short guide for my neighbours about baking bread at home. Please explain \
in simple words how to mix the dough, how long it has to rest in a warm kitchen, what can go wrong \
when the yeast is old, and how one can tell that the loaf is done without cutting it open. A list \
of steps with times would help most."

need() {
    command -v "$1" >/dev/null || apt-get install --yes "$1" >/dev/null
}

build_loop() {
    [[ -n ${LOOP:-} ]] || cargo build --quiet --release -p duoguard-serve --example loop
}

# text BYTES: the short one, or the longer one, cut or repeated.
text() {
    [[ $1 -gt ${#short} ]] || { printf %s "$short" && return; }
    local long
    long=$(repeat $(($1 / ${#prompt} + 1)) "$prompt ")
    printf %s "${long:0:$1}"
}

# Processor time that the server has taken, in seconds.
server_time() { awk -v hz="$(getconf CLK_TCK)" '{ print ($14 + $15) / hz }' "/proc/$server/stat"; }

# load PATH [TEXT]: wrk's report, and what a request took of the processors. Sets `rate`, requests a
# second, and `share`, wrk's part of the cores.
load() {
    local before after script=() TIMEFORMAT='%U %S' report=$logs/wrk.txt
    [[ $# -eq 1 ]] || script=(--script scripts/clients/load.lua)
    before=$(server_time)
    { time TEXT=${2:-} wrk --threads 1 --connections "${CONNECTIONS:-16}" --latency \
        --duration "${SECONDS_OF_LOAD:-60}s" "${script[@]}" "$url$1" >"$report"; } 2>"$report.time"
    after=$(server_time)
    cat "$report"
    read -r rate server_us wrk_us share < <(awk -v cores="$(nproc)" \
        -v server="$before $after" -v wrk="$(cat "$report.time")" '
        /requests in/ { split(server, s); split(wrk, w)
            own = (s[2] - s[1]) / $1 * 1e6; theirs = (w[1] + w[2]) / $1 * 1e6 }
        /^Requests\/sec/ { print $2, own, theirs, theirs * $2 / 1e6 / cores }' "$report")
    echo "processor time a request: the server $server_us us, wrk $wrk_us us"
    echo "wrk takes $share of the cores"
}

[[ $# -gt 0 ]] || set -- health rate shared overhead idle slow killed stop
for part in "$@"; do
    echo "== $part"
    case $part in
        health)
            need wrk
            serve health --engine "$engine"
            load /health
            ;;
        rate)
            need wrk
            build_loop
            workers=${WORKERS:-$(nproc)}
            for bytes in ${BYTES:-44 321 1000 4000}; do
                text=$(text "$bytes")
                serve rate --engine "$engine" --workers "$workers"
                echo "-- ${#text} bytes"
                load /v1/moderations "$text"
                kill "$server" && wait "$server" || true
                library=$("$loop" models/mini "$engine" "$workers" \
                    "${SECONDS_OF_LOOP:-20}" "$text")
                awk -v rate="$rate" -v library="$library" -v share="$share" 'BEGIN {
                    printf "the library in a loop: %d a second; ratio %.3f, and %.3f against the " \
                        "cores that wrk leaves\n", library, rate / library, \
                        rate / library / (1 - share) }'
            done
            ;;
        shared)
            build_loop
            for text in "$short" "$prompt"; do
                for count in 1 4 16; do
                    echo "${#text} bytes, $count at once: $("$loop" models/mini \
                        native 1 "${SECONDS_OF_LOOP:-5}" "$text" "$count") a second on one thread"
                done
            done
            ;;
        overhead)
            text=$(repeat 10 "$safe")
            upstream overhead "$text" 200 0.2
            servers=(direct="$upstream")
            for holdback in 0 32 128; do
                serve "overhead-$holdback" --engine "$engine" --upstream "$upstream" \
                    --holdback "$holdback"
                servers+=("holdback-$holdback=$url")
            done
            python3 scripts/clients/overhead.py "${ROUNDS:-20}" "${servers[@]}"
            ;;
        idle | slow | killed)
            serve "$part" --engine "$engine"
            python3 scripts/clients/endure.py "$part" "$url" "$server"
            ;;
        stop)
            serve stop --engine "$engine" --log-requests
            python3 scripts/clients/endure.py stop "$url" "$server" "$logs/stop.log"
            ;;
        memory)
            serve memory --engine "$engine"
            python3 scripts/clients/endure.py memory "$url" "$server" "${MINUTES:-20}"
            ;;
        *)
            sed -n 's/^# usage: /usage: /p' "$0" >&2
            exit 2
            ;;
    esac
done
