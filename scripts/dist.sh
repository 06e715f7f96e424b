#!/usr/bin/env bash
# Makes the archive of a release: the C library, its header, the bundles, licences, a bill of
# materials and checksums.
#
# usage: scripts/dist.sh [x86_64-unknown-linux-gnu|aarch64-unknown-linux-gnu]
#
# Without a target, for this machine; for arm64, with Debian's cross compilers (scripts/debian.sh
# arm64). Makes target/dist/duoguard-VERSION-TARGET.tar.gz, the same bytes from the same sources,
# compiler and SOURCE_DATE_EPOCH (the last commit's time without it), and tests it
# (scripts/dist_check.sh). `cargo xtask dist` runs this.
set -euo pipefail
cd "$(dirname "$0")/.."

host=$(rustc --version --verbose | sed -n 's/^host: //p')
target=${1:-$host}
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
name=duoguard-$version-$target
out=$PWD/target/dist
folder=$out/$name
rm -rf "$folder"
mkdir -p "$folder"

case $target in
    "$host") cargo xtask install --prefix "$folder" ;;
    aarch64-unknown-linux-gnu)
        scripts/debian.sh arm64
        # xtask itself is for this machine.
        RUSTC=/usr/bin/rustc CARGO_TARGET_DIR=target/cross \
            CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc \
            cargo xtask install --prefix "$folder" --target "$target"
        ;;
    *)
        echo "scripts/dist.sh: no way to build for $target here is known" >&2
        exit 2
        ;;
esac

for bundle in models/*/; do
    [[ -f $bundle/manifest.json ]] || continue
    mkdir -p "$folder/share/duoguard/$(basename "$bundle")"
    for file in manifest.json manifest.json.minisig tokenizer.json model.onnx stream.onnx \
        weights.data README.md LICENSES; do
        [[ ! -f $bundle/$file ]] || cp "$bundle/$file" "$folder/share/duoguard/$(basename "$bundle")/"
    done
done
cp LICENSE README.md CHANGELOG.md "$folder/"
python3 scripts/sbom.py duoguard-ffi "$target" "$folder"

(cd "$folder" && find . -type f ! -name SHA256SUMS -printf '%P\n' | LC_ALL=C sort |
    xargs -d '\n' sha256sum >SHA256SUMS)
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
tar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$epoch" --mode=u+rwX,go+rX,go-w \
    -C "$out" -cf - "$name" | gzip -9n >"$out/$name.tar.gz"
(cd "$out" && sha256sum "$name.tar.gz" | tee "$name.tar.gz.sha256")
echo "$out/$name.tar.gz: $(wc -c <"$out/$name.tar.gz") bytes"
scripts/dist_check.sh "$out/$name.tar.gz"
