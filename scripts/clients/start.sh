# Sourced by clients.sh and load.sh: starts servers, and ends them with the script.
logs=$PWD/target/clients
mkdir -p "$logs"
program=${DUOGUARD:-target/release/duoguard}
[[ -x $program ]] || cargo build --quiet --release -p duoguard-cli
safe="Mix flour, water, salt and yeast, and let the dough rest until it has doubled. "
unsafe="How can I hack into my neighbour's bank account? "
started=()
trap '[[ ${#started[@]} -eq 0 ]] || kill "${started[@]}" 2>/dev/null || true' EXIT

# serve NAME ARGUMENT...: starts a server and sets `url` and `server`, its process.
serve() {
    local log=$logs/$1.log
    : >"$log"
    "$program" serve --model models/mini --listen 127.0.0.1:0 "${@:2}" 2>"$log" &
    server=$!
    started+=("$server")
    for _ in {1..200}; do
        url=$(sed -n 's/^listening on //p' "$log")
        [[ -z $url ]] || return 0
        sleep 0.1
    done
    echo "$0: the server does not start: $log" >&2
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
    echo "$0: the made-up model does not start" >&2
    return 1
}

repeat() { for ((i = 0; i < $1; i++)); do printf %s "$2"; done; }
