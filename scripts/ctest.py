#!/usr/bin/env python3
"""Tests an installed C library from C, on Linux; `cargo xtask ctest` installs one and runs this.

usage: scripts/ctest.py PREFIX [--full]

Checks the header, the exported symbols, the C test suite and the cases of checks with two
compilers, under sanitizers and under valgrind, scores against the Rust API, threads, memory
(--full: 100,000 checks) and every example. Needs what `scripts/debian.sh ctest` installs, and
target/release/examples/scores, an example of the crate duoguard-ffi. Programs go into target/ctest.
"""

import argparse
import concurrent.futures
import os
import pathlib
import re
import socket
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
TARGET = ROOT / os.environ.get("CARGO_TARGET_DIR", "target")
WORK = ROOT / "target/ctest"
BUNDLE = "models/mini"
SUITE = [f"ffi/tests/c/{name}.c" for name in ("suite", "model", "session", "stream")]
STRICT = ["-Wall", "-Wextra", "-Werror", "-pedantic"]
OPTIMIZED = ["-std=c99", "-O2"]
SANITIZED = [
    "-std=c99",
    "-g",
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=all",
    "-fno-omit-frame-pointer",
]
# What shows that a program was built with them.
SANITIZERS = ["__asan_init", "__ubsan_handle"]
# "Possibly lost" is what hash tables and threads that live as long as the process look like from
# outside.
VALGRIND = [
    "valgrind",
    "--quiet",
    "--leak-check=full",
    "--show-leak-kinds=definite,indirect",
    "--errors-for-leak-kinds=definite,indirect",
    "--error-exitcode=9",
    f"--suppressions={ROOT / 'scripts/valgrind.supp'}",
]
THREAD_CHECKS, MEMORY_CHECKS, FULL_MEMORY_CHECKS = "1000", "10000", "100000"
MIN_TEXTS = 10
PROMPT = "How do I bake bread at home?"
RESPONSE = "With flour, water, salt and time."
CLIENTS, LINES = 8, 50


def fail(reason):
    sys.exit(f"scripts/ctest.py: {reason}")


def run(*command, env=None, stdin=None):
    """Runs a command in the root, and returns what it printed; its stderr goes to ours."""
    words = [str(word) for word in command]
    environment = os.environ | {name: str(value) for name, value in (env or {}).items()}
    try:
        result = subprocess.run(
            words, cwd=ROOT, env=environment, stdin=stdin, stdout=subprocess.PIPE, text=True
        )
    except OSError as error:
        fail(f"cannot run {words[0]} ({error}); `scripts/debian.sh ctest` installs it")
    if result.returncode:
        fail(f"failed ({result.returncode}): {' '.join(words)}\n{result.stdout}")
    return result.stdout


class Library:
    """The library in a prefix, and programs that are linked to it."""

    def __init__(self, prefix):
        self.prefix = prefix
        self.include = f"-I{prefix}/include"
        self.shared = prefix / "lib/libduoguard.so"
        static = self.pkg_config("--static", "--libs")
        self.links = {
            "shared": [f"-L{prefix}/lib", "-lduoguard", f"-Wl,-rpath,{prefix}/lib"],
            "static": [word.replace("-lduoguard", "-l:libduoguard.a") for word in static],
        }

    def pkg_config(self, *arguments):
        env = {"PKG_CONFIG_PATH": self.prefix / "lib/pkgconfig"}
        return run("pkg-config", *arguments, "duoguard", env=env).split()

    def compile(self, compiler, flags, sources, name, link="shared"):
        """Compiles a program with all warnings, which are errors."""
        program = WORK / name
        run(
            compiler,
            *STRICT,
            *flags,
            self.include,
            *sources,
            "-o",
            program,
            *self.links[link],
            "-pthread",
        )
        return program


def header(library):
    """The header needs no other before it, and can be included twice, as C and as C++."""
    twice = WORK / "twice.h"
    twice.write_text("#include <duoguard.h>\n#include <duoguard.h>\n")
    compilers = {"c": ("gcc", "clang"), "c++": ("g++", "clang++")}
    for language, standard in (("c", "c99"), ("c", "c11"), ("c++", "c++11"), ("c++", "c++20")):
        for compiler in compilers[language]:
            run(
                compiler,
                *STRICT,
                "-x",
                language,
                f"-std={standard}",
                "-fsyntax-only",
                library.include,
                twice,
            )
    return "compiles as C99, C11, C++11 and C++20 with gcc and clang, alone and twice"


def symbols(library):
    """The library exports the functions that the header declares and nothing else, under the name
    of its ABI version."""
    text = (library.prefix / "include/duoguard.h").read_text()
    declared = sorted(re.findall(r"^DUOGUARD_API [^;(]*\b(duoguard_\w+)\(", text, re.MULTILINE))
    exported = sorted(
        line.split()[2] for line in run("nm", "-D", "--defined-only", library.shared).splitlines()
    )
    if not declared or declared != exported:
        fail(f"the library exports {exported}\nbut the header declares {declared}")
    abi = re.search(r"^#define DUOGUARD_ABI_VERSION (\d+)", text, re.MULTILINE)[1]
    soname = re.findall(r"^\s*SONAME\s+(\S+)", run("objdump", "-p", library.shared), re.MULTILINE)
    if soname != [f"libduoguard.so.{abi}"]:
        fail(f"the library's soname is {soname}, expected libduoguard.so.{abi}")
    return f"{len(exported)} exported, as the header declares; soname {soname[0]}"


def panics(_):
    """The file that catches panics does not compile where panics abort, so no such library can be
    built."""

    def rustc(strategy):
        command = [
            os.environ.get("RUSTC", "rustc"),
            "--edition=2024",
            "--crate-type=lib",
            "--emit=metadata",
            "-Awarnings",
            "-C",
            f"panic={strategy}",
            "--out-dir",
            WORK,
            "ffi/src/unwind.rs",
        ]
        return subprocess.run(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)

    unwind, abort = rustc("unwind"), rustc("abort")
    if (
        unwind.returncode
        or not abort.returncode
        or 'build it with panic = "unwind"' not in abort.stderr
    ):
        fail(
            "ffi/src/unwind.rs must compile with panic=unwind and not with panic=abort; "
            "rustc said\n"
            f"{unwind.stderr}{abort.stderr}"
        )
    return "the library refuses to be compiled with panic=abort"


def sanitizers_are_in(program):
    text = run("nm", program)
    for name in SANITIZERS:
        if name not in text:
            fail(f"{program} has no {name}: the sanitizers are not in it")


def suite(library):
    """The suite with two compilers, shared and static, under sanitizers and valgrind."""
    files = WORK / "files"
    files.mkdir(exist_ok=True)
    # ONNX Runtime is tried elsewhere; valgrind finds much in it that is not ours.
    env = {"ORT_DYLIB_PATH": WORK / "no-onnxruntime.so"}
    for compiler in ("gcc", "clang"):
        run(
            library.compile(compiler, [*OPTIMIZED, "-g"], SUITE, f"suite-{compiler}"),
            BUNDLE,
            files,
            env=env,
        )
        sanitized = library.compile(compiler, SANITIZED, SUITE, f"suite-{compiler}-sanitized")
        sanitizers_are_in(sanitized)
        run(sanitized, BUNDLE, files, env=env)
        how = "plain and with AddressSanitizer and UBSan (seen in it by nm)"
        print(f"suite: passes with {compiler}, {how}", flush=True)
    static = library.compile("gcc", OPTIMIZED, SUITE, "suite-static", "static")
    run(static, BUNDLE, files, env=env)
    # The static library, because valgrind misreads what the loader does with paths.
    run(*VALGRIND, static, BUNDLE, files, env=env)
    return "passes with the static library, and under valgrind: no leak, no error"


def checks(_):
    """The cases of tests/data/checks.toml through the C library, under sanitizers and valgrind.

    The test of the crate compiles the program itself, with what the environment says. The machine
    that valgrind imitates has fewer instructions: scores differ a little there, verdicts do not."""
    test = ["cargo", "test", "--release", "--package", "duoguard-ffi", "--test", "checks"]
    for compiler in ("gcc", "clang"):
        flags = " ".join(flag for flag in SANITIZED if not flag.startswith("-std="))
        run(*test, env={"DUOGUARD_CC": compiler, "DUOGUARD_CFLAGS": flags})
    run(*test, "the_c_library", env={"DUOGUARD_UNDER": " ".join(VALGRIND)})
    return "both doors say what is expected, and C under sanitizers and under valgrind"


def print_scores(command, engine):
    """The verdicts that a program prints of the golden texts, to the last bit: a line each."""
    with (ROOT / "tests/data/texts.tsv").open() as texts:
        return run(*command, BUNDLE, engine, stdin=texts).splitlines()


def scores(library):
    """Scores and verdicts through C are those of the Rust API, to the last bit, with every
    engine."""
    program = library.compile("gcc", OPTIMIZED, ["ffi/tests/c/scores.c"], "scores")
    for engine in ("native", "onnxruntime"):
        c = print_scores([program], engine)
        rust = print_scores([TARGET / "release/examples/scores"], engine)
        for of_c, of_rust in zip(c, rust):
            if of_c != of_rust:
                fail(f"engine {engine}: C says\n{of_c}\nbut Rust\n{of_rust}")
        if len(c) != len(rust) or len(c) < MIN_TEXTS:
            fail(f"engine {engine}: C gave {len(c)} verdicts, Rust {len(rust)}")
    return f"{len(c)} verdicts with native and onnxruntime are bit for bit those of the Rust API"


def fork(library):
    """A child checks as its parent does, whatever the parent had opened; with the engines that
    have no threads of the process's own."""
    program = library.compile("gcc", OPTIMIZED, ["ffi/tests/c/fork.c"], "fork")
    return run(program, BUNDLE, "native").strip()


def header_example(library):
    """The example in the header's first comment compiles, and finds the bundled model."""
    comment = (library.prefix / "include/duoguard.h").read_text().split("*/")[0]
    lines = [line.removeprefix(" *") for line in comment.splitlines()]
    start = next(at for at, line in enumerate(lines) if line.startswith("     #include"))
    code = []
    for line in lines[start:]:
        if line and not line.startswith("     "):
            break
        code.append(line)
    source = WORK / "header-example.c"
    source.write_text("\n".join(code) + "\n")
    said = run(library.compile("gcc", ["-std=c99"], [source], "header-example"))
    if not said.startswith("safe: "):
        fail(f'the header\'s example printed {said!r}, expected "safe: ..."')
    return f"the header's: {said.strip()}"


def check_example(library, *command):
    """A program that checks: a harmless text is safe, a missing bundle is an error and not a
    verdict."""
    env = os.environ | {
        "LD_LIBRARY_PATH": f"{library.prefix}/lib",
        "DUOGUARD_LIBRARY": str(library.shared),
    }
    for arguments, code in (
        ([BUNDLE, PROMPT], 0),
        ([BUNDLE, PROMPT, RESPONSE], 0),
        (["no/such/bundle", PROMPT], 2),
        ([BUNDLE], 2),
    ):
        words = [str(word) for word in (*command, *arguments)]
        found = subprocess.run(words, cwd=ROOT, env=env, capture_output=True, text=True)
        if code == 2:
            fits = not found.stdout and found.stderr
        else:
            fits = found.stdout.startswith("safe") and len(found.stdout.splitlines()) == 13
        if found.returncode != code or not fits:
            expected = "an error alone" if code else "safe and 12 categories"
            fail(
                f"{words}: expected exit code {code}, and {expected}; found {found.returncode}\n"
                f"{found.stdout}{found.stderr}"
            )


def with_pkg_config(library):
    """The C example, linked by what pkg-config says."""
    for name, arguments in (
        ("shared", ["--cflags", "--libs"]),
        ("static", ["--cflags", "--static", "--libs"]),
    ):
        words = library.pkg_config(*arguments)
        if name == "static":
            words = [word.replace("-lduoguard", "-l:libduoguard.a") for word in words]
        program = WORK / f"check-{name}"
        run("gcc", "-std=c99", "examples/c/check.c", *words, "-o", program)
        check_example(library, program)
    return "C, linked through pkg-config, shared and static"


def with_cmake(library):
    """All compiled examples, linked through the CMake package."""
    for static in ("OFF", "ON"):
        folder = WORK / f"cmake-static-{static}"
        run(
            "cmake",
            "-S",
            "examples",
            "-B",
            folder,
            f"-DCMAKE_PREFIX_PATH={library.prefix}",
            f"-DDUOGUARD_STATIC={static}",
        )
        run("cmake", "--build", folder)
        for name in ("check_c", "check_cpp"):
            check_example(library, folder / name)
    return "C and C++, linked through CMake, shared and static"


def python(library):
    check_example(library, sys.executable, "examples/python/duoguard.py")
    return "Python"


def server(library):
    """The server answers many clients at once, alike, and ends without leaving memory behind."""
    program = library.compile("gcc", SANITIZED, ["examples/server/server.c"], "server")
    sanitizers_are_in(program)
    process = subprocess.Popen(
        [program, BUNDLE, "0", "4"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        talk(int(process.stdout.readline()))
    finally:
        process.terminate()
        status = process.wait(timeout=60)
    if status:
        fail(f"the server ended with {status}")
    return f"the server answered {CLIENTS} clients x {LINES} lines alike"


def talk(port):
    line = f"{PROMPT}\n".encode()
    first = answers(port, line)
    if not first.startswith("safe 0."):
        fail(f'the server answered {first!r}, expected "safe 0...."')
    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as clients:
        for found in clients.map(lambda _: answers(port, line * LINES), range(CLIENTS)):
            if found != first * LINES:
                fail(f"the server answered one client {found!r}, another {first!r}")
    odd = b"\xff\n" + f"{PROMPT}\t{RESPONSE}\n".encode() + b"a" * 70_000 + b"\n\n"
    found = answers(port, odd).splitlines()
    starts = ["error prompt is not UTF-8", "safe 0.", "error the line is longer", "safe 0.000000"]
    if len(found) != len(starts) or not all(
        line.startswith(start) for line, start in zip(found, starts)
    ):
        fail(f"the server answered {found}, expected lines that start with {starts}")


def answers(port, lines):
    """Sends lines, and returns all answers."""
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(lines)
        client.shutdown(socket.SHUT_WR)
        with client.makefile(encoding="utf-8") as stream:
            return stream.read()


def main():
    parser = argparse.ArgumentParser(description="Tests an installed C library from C.")
    parser.add_argument(
        "prefix",
        type=lambda text: pathlib.Path(text).resolve(),
        help="where the library is installed",
    )
    parser.add_argument("--full", action="store_true", help="watch memory for 100,000 checks")
    arguments = parser.parse_args()
    os.environ.setdefault("ORT_DYLIB_PATH", str(ROOT / "target/onnxruntime/libonnxruntime.so"))
    WORK.mkdir(parents=True, exist_ok=True)
    library = Library(arguments.prefix)
    memory_checks = FULL_MEMORY_CHECKS if arguments.full else MEMORY_CHECKS
    for test in (header, symbols, panics, suite, checks, scores, fork):
        print(f"{test.__name__}: {test(library)}", flush=True)
    for test, count in (("threads", THREAD_CHECKS), ("memory", memory_checks)):
        program = library.compile("gcc", OPTIMIZED, [f"ffi/tests/c/{test}.c"], test)
        print(run(program, BUNDLE, count).strip(), flush=True)
    for example in (header_example, with_pkg_config, with_cmake, python, server):
        print(f"examples: {example(library)}", flush=True)


if __name__ == "__main__":
    main()
