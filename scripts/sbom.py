#!/usr/bin/env python3
"""Writes what a library is built of: a bill of materials and the licences.

usage: scripts/sbom.py PACKAGE TARGET FOLDER [WORKSPACE]

FOLDER gets sbom.cdx.json (CycloneDX 1.5) and LICENSES, of every crate that is linked into PACKAGE
for TARGET: what only builds, such as procedural macros, is left out. WORKSPACE is the folder of
PACKAGE's workspace, where that is not ours.
"""

import json
import pathlib
import subprocess
import sys
import tomllib

ROOT = pathlib.Path(__file__).resolve().parents[1]
LICENCE_FILES = ("LICENSE*", "LICENCE*", "COPYING*", "NOTICE*", "UNLICENSE*")


def cargo(workspace, *arguments):
    command = ["cargo", *arguments]
    return subprocess.run(command, cwd=workspace, check=True, stdout=subprocess.PIPE, text=True).stdout


def linked(workspace, package, target):
    """(name, version) of every crate that is linked, the package itself left out."""
    lines = cargo(
        workspace, "tree", "--locked", "--package", package, "--target", target, "--edges", "normal,no-proc-macro",
        "--prefix", "none", "--format", "{p}",
    ).splitlines()
    found = {tuple(line.split()[:2]) for line in lines[1:] if line}
    return sorted((name, version.removeprefix("v")) for name, version in found)


def component(package, checksums):
    """A crate as CycloneDX has it."""
    found = {
        "type": "library",
        "name": package["name"],
        "version": package["version"],
        "licenses": [{"expression": package["license"].replace("/", " OR ")}],
    }
    if package["source"]:
        found["purl"] = f"pkg:cargo/{package['name']}@{package['version']}"
        checksum = checksums[package["name"], package["version"]]
        found["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    return found


def licences(crates):
    """Every licence file of the crates, once, under the names of those that have it."""
    holders = {}
    for crate in crates:
        folder = pathlib.Path(crate["manifest_path"]).parent
        files = sorted({file for pattern in LICENCE_FILES for file in folder.glob(pattern)})
        for file in filter(pathlib.Path.is_file, files):
            text = file.read_text(errors="replace").strip()
            holders.setdefault(text, []).append(f"{crate['name']} {crate['version']}")
    lines = [f"{crate['name']} {crate['version']}: {crate['license']}" for crate in crates]
    texts = [f"{'=' * 80}\n{', '.join(names)}\n\n{text}" for text, names in holders.items()]
    return "\n\n".join(["\n".join(lines), *texts]) + "\n"


def main():
    if len(sys.argv) not in (4, 5):
        sys.exit("usage: scripts/sbom.py PACKAGE TARGET FOLDER [WORKSPACE]")
    package, target, folder = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
    workspace = ROOT.joinpath(*sys.argv[4:])
    metadata = json.loads(cargo(workspace, "metadata", "--locked", "--format-version", "1"))
    packages = {(each["name"], each["version"]): each for each in metadata["packages"]}
    crates = [packages[key] for key in linked(workspace, package, target)]
    without = [crate["name"] for crate in crates if not crate["license"]]
    if not crates or without:
        sys.exit(f"scripts/sbom.py: {len(crates)} crates; without a licence: {without}")
    version = next(each["version"] for each in metadata["packages"] if each["name"] == package)
    lock = tomllib.loads((workspace / "Cargo.lock").read_text())["package"]
    checksums = {(each["name"], each["version"]): each.get("checksum") for each in lock}
    bill = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "component": {"type": "library", "name": "duoguard", "version": version},
            "properties": [{"name": "target", "value": target}],
        },
        "components": [component(crate, checksums) for crate in crates],
    }
    (folder / "sbom.cdx.json").write_text(json.dumps(bill, indent=2) + "\n")
    (folder / "LICENSES").write_text(licences(crates))
    print(f"{len(crates)} crates are in sbom.cdx.json and LICENSES")


if __name__ == "__main__":
    main()
