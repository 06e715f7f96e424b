"""The package as people meet it: README, types, command line, server."""

import doctest
import json
import pathlib
import re
import signal
import subprocess
import sys
import urllib.request

import pytest

import duoguard
from conftest import BREAD, UNSAFE

FOLDER = pathlib.Path(__file__).parents[1]


def python(*arguments, **options):
    command = [sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, **options)


def test_the_readme(tmp_path):
    text = (FOLDER / "README.md").read_text()
    block = re.search(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert block[1] == "python" and len(block[2].splitlines()) == 4
    said = python("-c", block[2], cwd=tmp_path)
    assert said.stdout.startswith("False <Verdict safe: "), said.stderr
    found = doctest.testfile(str(FOLDER / "README.md"), False, optionflags=doctest.ELLIPSIS)
    assert found.attempted > 8 and not found.failed


def test_the_docstrings():
    from duoguard import _bundles

    for module in (duoguard, _bundles):
        found = doctest.testmod(module)
        assert found.attempted and not found.failed


def test_the_types(tmp_path):
    """A program that uses everything is right, and one that is wrong is told so."""
    right = FOLDER / "tests/typed.py"
    said = python("-m", "mypy", "--strict", str(right), cwd=tmp_path)
    assert said.returncode == 0, said.stdout
    wrong = tmp_path / "wrong.py"
    wrong.write_text("import duoguard\nduoguard.Guard().check(3, colour=1)\n")
    said = python("-m", "mypy", "--strict", str(wrong), cwd=tmp_path)
    assert said.returncode == 1 and "arg-type" in said.stdout and "colour" in said.stdout
    # What the stubs declare is what there is.
    allowed = tmp_path / "allowed"
    allowed.write_text("duoguard._native.__all__\nduoguard.__main__\n")
    said = python("-m", "mypy.stubtest", "duoguard", "--allowlist", str(allowed),
                  "--ignore-unused-allowlist", cwd=tmp_path)
    assert said.returncode == 0, said.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "part"),
    [
        ([BREAD], 0, "<Verdict safe"),
        ([BREAD, UNSAFE], 1, "<Verdict unsafe: hate"),
        (["--json", "--response", BREAD, BREAD], 0, '"part": "prompt"'),
        (["--bundle", "./no", BREAD], 2, "not checked: "),
        (["--language", "mostly German", BREAD], 2, "BCP-47"),
        (["--public-key", "no/such/key", BREAD], 2, "no/such/key"),
        (["--public-key", str(FOLDER / "README.md"), BREAD], 2, "public key"),
        (["-"], 2, "no text was checked"),
    ],
)
def test_the_command_check(arguments, code, part):
    said = python("-m", "duoguard", "check", *arguments, stdin=subprocess.DEVNULL)
    assert said.returncode == code and part in said.stdout + said.stderr


def test_the_command_serve():
    command = [sys.executable, "-m", "duoguard", "serve", "--listen", "127.0.0.1:0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        url = next(line for line in server.stderr if "listening on" in line).split()[-1]
        body = json.dumps({"input": UNSAFE}).encode()
        request = urllib.request.Request(
            f"{url}/v1/moderations", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert json.load(answer)["results"][0]["flagged"] is True
        server.send_signal(signal.SIGTERM)
        assert server.wait(60) == 0
