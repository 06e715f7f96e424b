#!/usr/bin/env bash
# Tests the archive of a release as somebody who has nothing else: its checksums, programs that find
# it by pkg-config and by CMake, and a check with each of its bundles.
#
# usage: scripts/dist_check.sh ARCHIVE
#
# An archive for another machine is compiled by that machine's cross compiler and run by qemu, which
# `scripts/debian.sh arm64` installs. scripts/dist.sh runs this.
set -euo pipefail

[[ $# == 1 ]] || { echo "usage: scripts/dist_check.sh ARCHIVE" >&2; exit 2; }
archive=$(realpath "$1")
cd "$(dirname "$0")/.."
scripts/debian.sh ctest
work=$PWD/target/dist/unpacked
name=$(basename "$archive" .tar.gz)
rm -rf "$work"
mkdir -p "$work"
tar -xf "$archive" -C "$work"
folder=$work/$name
(cd "$folder" && sha256sum --quiet --check SHA256SUMS)
# Every file is in the list.
diff <(cut -c 67- "$folder/SHA256SUMS" | sort) \
    <(cd "$folder" && find . -type f ! -name SHA256SUMS -printf '%P\n' | sort)
python3 -m json.tool "$folder/sbom.cdx.json" >/dev/null
# Both bundles, and the licences of the weights that one of them is made of.
[[ $(ls "$folder/share/duoguard") == $'base\nmini' && -s $folder/share/duoguard/base/LICENSES ]]

compiler=cc
run=()
options=()
case $name in
    *-"$(uname -m)"-unknown-linux-gnu) ;;
    *-aarch64-unknown-linux-gnu)
        scripts/debian.sh arm64
        compiler=aarch64-linux-gnu-gcc
        run=(qemu-aarch64 -L /usr/aarch64-linux-gnu)
        options=(-DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64)
        ;;
    *)
        echo "scripts/dist_check.sh: no way to run $name here is known" >&2
        exit 2
        ;;
esac

# By pkg-config, and by CMake, in C: cargo xtask ctest builds the examples in C++ too.
export PKG_CONFIG_PATH=$folder/lib/pkgconfig
read -ra shared <<<"$(pkg-config --cflags --libs duoguard)"
read -ra fixed <<<"$(pkg-config --static --cflags --libs duoguard)"
"$compiler" -std=c99 examples/c/check.c "${shared[@]}" -Wl,-rpath,"$folder/lib" -o "$work/shared"
"$compiler" -std=c99 examples/c/check.c "${fixed[@]/#-lduoguard/-l:libduoguard.a}" -o "$work/static"
mkdir "$work/cmake"
cat >"$work/cmake/CMakeLists.txt" <<END
cmake_minimum_required(VERSION 3.16)
project(check C)
find_package(duoguard 0.1 REQUIRED)
add_executable(check $PWD/examples/c/check.c)
target_link_libraries(check PRIVATE duoguard::duoguard)
END
cmake -S "$work/cmake" -B "$work/cmake/build" -DCMAKE_PREFIX_PATH="$folder" \
    -DCMAKE_FIND_ROOT_PATH_MODE_PACKAGE=BOTH -DCMAKE_C_COMPILER="$compiler" "${options[@]}" \
    >"$work/cmake/log"
cmake --build "$work/cmake/build" >>"$work/cmake/log"

for bundle in "$folder"/share/duoguard/*/; do
    for program in "$work/shared" "$work/static" "$work/cmake/build/check"; do
        said=$("${run[@]}" "$program" "$bundle" "How do I bake bread at home?" | head -1)
        [[ $said == safe* ]] || { echo "$program $bundle: $said; expected safe" >&2; exit 1; }
    done
    echo "$(basename "$bundle"): $said"
done
echo "$name: checksums, pkg-config, CMake and a check with each bundle are right"
