#!/usr/bin/env python3
"""Writes the shared cases of checks, with what the C library says to each.

usage: bindings/cases.py PREFIX OUT [ENGINE]

PREFIX is where `cargo xtask install` put the C library, which computes with its embedded engine
unless another is named. Of tests/data/checks.toml, the cases that
are for every caller are taken: those without `only`. OUT has two lines a case, both of key=value
pairs between tabs: the case, as ffi/tests/c/checks.c reads it, behind its name; and the answer.
    name, prompt, response, language, message    hexadecimal digits of UTF-8
    target_fpr, thresholds                       the bits of 32-bit floats, in hexadecimal digits
    scores, top_score                            the bits of 32-bit floats, in decimal digits
    all others                                   as they are
What is not named has its default; a threshold of 0 is none.
"""

import json
import pathlib
import re
import struct
import subprocess
import sys
import tempfile
import tomllib

ROOT = pathlib.Path(__file__).resolve().parents[1]
BUNDLE = ROOT / "models/mini"
JOINS = {"space": 0, "newline": 1, "separate": 2}
MIN_CASES = 30


def text(value):
    """A text of the file: as it is, or in pieces that are repeated."""
    if isinstance(value, str):
        return value
    pieces = (piece if isinstance(piece, dict) else {"text": piece, "times": 1} for piece in value)
    return "".join(piece["text"] * piece["times"] for piece in pieces)


def bits(number):
    return f"{struct.unpack('<I', struct.pack('<f', number))[0]:x}"


def case_line(case, categories):
    """A case in the form of ffi/tests/c/checks.c."""
    pairs = {}
    for key in ("prompt", "response"):
        if key in case:
            pairs[key] = text(case[key]).encode().hex()
    if "language" in case:
        pairs["language"] = case["language"].encode().hex()
    options = case.get("options", {})
    if "join" in options:
        pairs["join"] = JOINS[options["join"]]
    if "max_tokens" in options:
        pairs["max_tokens"] = options["max_tokens"]
    if "target_fpr" in options:
        pairs["target_fpr"] = bits(options["target_fpr"])
    if options.get("literal"):
        pairs["literal"] = 1
    if "thresholds" in options:
        given = options["thresholds"]
        pairs["thresholds"] = ",".join(bits(given.get(name, 0)) for name in categories)
    return "".join(f"{key}={value}\t" for key, value in pairs.items())


def answer_line(answer):
    """What checks.c printed, as pairs."""
    if answer["status"] != "DUOGUARD_OK":
        answer = {"status": answer["status"], "message": answer["message"].encode().hex()}
    else:
        answer["scores"] = ",".join(str(score) for score in answer["scores"])
    return "".join(f"{key}={value}\t" for key, value in answer.items())


def ask_c(prefix, lines, engine):
    """The answers of the C library, by the program that the C tests use."""
    with tempfile.TemporaryDirectory() as folder:
        program = pathlib.Path(folder) / "checks"
        subprocess.run(
            ["cc", "-std=c99", "-O2", f"-I{prefix}/include", ROOT / "ffi/tests/c/checks.c"]
            + [f"-L{prefix}/lib", "-lduoguard", f"-Wl,-rpath,{prefix}/lib", "-o", program],
            check=True,
        )
        given = "".join(f"{line}\n" for line in lines)
        said = subprocess.run(
            [program, BUNDLE, *engine], input=given, check=True, stdout=subprocess.PIPE, text=True
        )
    return [json.loads(line) for line in said.stdout.splitlines()]


def main():
    if len(sys.argv) not in (3, 4):
        sys.exit("usage: bindings/cases.py PREFIX OUT [ENGINE]")
    prefix, out = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2])
    cases = tomllib.loads((ROOT / "tests/data/checks.toml").read_text())["case"]
    cases = [case for case in cases if "only" not in case]
    categories = json.loads((BUNDLE / "manifest.json").read_text())["categories"]
    lines = [case_line(case, categories) for case in cases]
    answers = ask_c(prefix, lines, sys.argv[3:])
    if not len(answers) == len(cases) >= MIN_CASES:
        sys.exit(f"bindings/cases.py: {len(answers)} answers to {len(cases)} cases")
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("w") as file:
        for case, line, answer in zip(cases, lines, answers):
            if not re.fullmatch(r"[^\t\n]+", case["name"]):
                sys.exit(f"bindings/cases.py: {case['name']!r} has a tab or a line break in it")
            file.write(f"name={case['name'].encode().hex()}\t{line}\n{answer_line(answer)}\n")
    print(f"{len(cases)} cases")


if __name__ == "__main__":
    main()
