#!/usr/bin/env bash
# Makes sure of what a check needs of the system: programs, a Vulkan driver, cross compilers.
#
# usage: scripts/debian.sh ctest|vulkan|browser|mpi|arm64|wasm32|go|java...
#
# As root on Debian, what is missing is installed by apt-get, from Debian's own packages, into the
# system. Elsewhere the script says what to install, and fails.
set -euo pipefail

packages=() # to install
checks=()   # "FILE PACKAGES", to look for again afterwards

# is_there PROGRAM|PATTERN: a program on the PATH, or a file, with wildcards.
is_there() {
    case $1 in
        /*) compgen -G "$1" >/dev/null ;;
        *) command -v "$1" >/dev/null ;;
    esac
}

# need PROGRAM|PATTERN PACKAGE...
need() {
    if ! is_there "$1"; then
        checks+=("$*")
        packages+=("${@:2}")
    fi
}

refuse() {
    echo "scripts/debian.sh: $1: install what these Debian packages have:" >&2
    echo "    apt-get install ${packages[*]}" >&2
    exit 1
}

usage() {
    echo "usage: scripts/debian.sh ctest|vulkan|browser|mpi|arm64|wasm32|go|java..." >&2
    exit 2
}

[[ $# -gt 0 ]] || usage
for group in "$@"; do
    case $group in
        ctest)
            need gcc gcc
            need g++ g++
            # With the libraries of its sanitizers.
            need clang clang libclang-rt-dev
            need nm binutils
            need valgrind valgrind
            need pkg-config pkg-config
            need cmake cmake
            need python3 python3
            ;;
        vulkan)
            # Mesa's lavapipe, for machines without a GPU, and the validation layers that one test
            # listens to. Other systems bring a driver of their own.
            if [[ $(uname) == Linux ]] && ! is_there '/etc/vulkan/icd.d/*.json'; then
                need '/usr/share/vulkan/icd.d/*.json' mesa-vulkan-drivers vulkan-validationlayers
            fi
            ;;
        browser)
            need chromium chromium
            ;;
        mpi)
            need mpirun openmpi-bin
            need mpicc libopenmpi-dev
            # The crate mpi reads MPI's headers with it.
            need '/usr/lib/llvm-*/lib/libclang.so' libclang-dev
            ;;
        arm64)
            # Debian's second Rust compiler has standard libraries for other machines.
            need /usr/bin/rustc rustc-web
            need /usr/lib/rustlib/aarch64-unknown-linux-gnu/lib libstd-rust-web-dev:arm64
            need aarch64-linux-gnu-gcc gcc-aarch64-linux-gnu
            need /usr/aarch64-linux-gnu/include/stdio.h libc6-dev-arm64-cross
            need qemu-aarch64 qemu-user
            ;;
        wasm32)
            need /usr/bin/rustc rustc-web
            need /usr/lib/rustlib/src/rust/library/std/Cargo.toml rust-web-src
            need wasm-ld lld
            ;;
        go)
            need go golang-go
            need gcc gcc
            need pkg-config pkg-config
            ;;
        java)
            need javac openjdk-17-jdk-headless
            need /usr/share/java/jna.jar libjna-java
            need /usr/share/java/junit4.jar junit4
            ;;
        *)
            echo "scripts/debian.sh: there is no $group" >&2
            usage
            ;;
    esac
done
[[ ${#packages[@]} -gt 0 ]] || exit 0

command -v apt-get >/dev/null || refuse "something is missing, and this is no Debian"
[[ $(id -u) == 0 ]] || refuse "something is missing, and only root may install it"
if [[ " ${packages[*]} " == *:arm64\ * ]]; then
    dpkg --add-architecture arm64
fi
# Another installation may hold the lock.
apt=(apt-get -o DPkg::Lock::Timeout=300 --quiet)
"${apt[@]}" update
DEBIAN_FRONTEND=noninteractive "${apt[@]}" install --yes --no-install-recommends "${packages[@]}" ||
    refuse "apt-get failed"
for check in "${checks[@]}"; do
    is_there "${check%% *}" || refuse "${check%% *} is still missing, though installed"
done
