#!/usr/bin/env python3
"""Builds for another machine, with Debian's compilers.

usage: scripts/cross.py arm64

Builds the C library for arm64 Linux, and runs its test suite, the C example and the golden texts
under emulation; verdicts are those of this machine, scores nearly. What is missing of Debian's
packages is installed (scripts/debian.sh); everything is built in target/cross. For WebAssembly see
scripts/wasm.sh.
"""

import os
import struct
import sys

import ctest

FOLDER = ctest.ROOT / "target/cross"
# Debian's second Rust compiler, which has standard libraries for other machines.
RUSTC = "/usr/bin/rustc"
ARM64, LINKER = "aarch64-unknown-linux-gnu", "aarch64-linux-gnu-gcc"
EMULATOR = "qemu-aarch64"
# Linked whole: under qemu 7.2 the dynamic C library hangs where a thread starts. The linker warns
# of what needs the dynamic one.
STATIC = ["-static", "-lutil", "-lrt", "-lpthread", "-lm", "-ldl", "-lgcc_eh"]
# Logits are the same to the last bit; the exponential that makes a probability of one is the
# system's.
TOLERANCE = 1e-6


def arm64():
    env = {"RUSTC": RUSTC, "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER": LINKER}
    ctest.run(
        "cargo",
        "build",
        "--package",
        "duoguard-ffi",
        "--lib",
        "--release",
        "--target",
        ARM64,
        "--target-dir",
        FOLDER,
        env=env,
    )
    work = FOLDER / "arm64"
    (work / "files").mkdir(parents=True, exist_ok=True)

    def program(name, *sources):
        library = FOLDER / ARM64 / "release/libduoguard.a"
        ctest.run(
            LINKER,
            *ctest.OPTIMIZED,
            *ctest.STRICT,
            "-Iinclude",
            *sources,
            "-o",
            work / name,
            library,
            *STATIC,
        )
        return [EMULATOR, work / name]

    ctest.run(*program("suite", *ctest.SUITE), ctest.BUNDLE, work / "files")
    said = ctest.run(*program("check", "examples/c/check.c"), ctest.BUNDLE, ctest.PROMPT)
    print(f"arm64: the suite passes; the C example says: {said.splitlines()[0]}")

    ctest.run("cargo", "build", "--release", "--package", "duoguard-ffi", "--example", "scores")
    found = ctest.print_scores(program("scores", "ffi/tests/c/scores.c"), "native")
    expected = ctest.print_scores([ctest.TARGET / "release/examples/scores"], "native")
    if len(found) != len(expected) or len(found) < ctest.MIN_TEXTS:
        ctest.fail(f"arm64 gave {len(found)} verdicts, this machine {len(expected)}")
    largest = 0.0
    for line, native in zip(found, expected):
        (verdict, scores), (native_verdict, native_scores) = parsed(line), parsed(native)
        if verdict != native_verdict or len(scores) != len(native_scores):
            ctest.fail(f"arm64 says\n{line}\nbut this machine\n{native}")
        largest = max([largest, *(abs(score - of) for score, of in zip(scores, native_scores))])
    print(f"arm64: {len(found)} verdicts are those of this machine")
    print(f"arm64: the scores differ by {largest:.1e} at most")
    if not largest <= TOLERANCE:
        ctest.fail(f"that is more than the {TOLERANCE} allowed")


def parsed(line):
    """The words before the scores, and the scores: floats as hexadecimal digits."""
    words = line.split(" ")
    return words[:6], [struct.unpack(">f", bytes.fromhex(bits))[0] for bits in words[6:]]


if __name__ == "__main__":
    if sys.argv[1:] != ["arm64"]:
        sys.exit("usage: scripts/cross.py arm64")
    ctest.run("scripts/debian.sh", "arm64")
    os.environ.pop("RUSTFLAGS", None)
    arm64()
