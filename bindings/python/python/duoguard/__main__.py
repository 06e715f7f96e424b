"""`python -m duoguard check|serve`: checks from the command line, and the server."""

from __future__ import annotations

import argparse
import json
import pathlib
import sys
from collections.abc import Iterable, Sequence

import duoguard

SAFE, UNSAFE, NOT_CHECKED = 0, 1, 2


def parser() -> argparse.ArgumentParser:
    """The command line."""
    whole = argparse.ArgumentParser(prog="python -m duoguard", description=__doc__)
    commands = whole.add_subparsers(dest="command", required=True)

    check = commands.add_parser("check", help="check texts: exit code 0 safe, 1 unsafe, 2 an error")
    check.add_argument("texts", nargs="+", metavar="TEXT", help="a text; - reads one text a line")
    check.add_argument("--response", help="what a model answered to the one text")
    check.add_argument("--language", help="the texts' language, such as en or pt-BR")
    check.add_argument("--json", action="store_true", help="print a JSON object a line")

    serve = commands.add_parser("serve", help="answer over HTTP until the process is asked to end")
    serve.add_argument("--listen", default="127.0.0.1:8477", help="ADDRESS:PORT, or unix:PATH")
    serve.add_argument("--policy", help="a TOML file: what is unsafe, and what happens then")
    serve.add_argument("--keys", help="a file with the SHA-256 of one API key a line")
    serve.add_argument("--upstream", help="the URL of the model to guard as a proxy")
    serve.add_argument("--upstream-key", help="a file with the key that the upstream is sent")
    serve.add_argument("--audit", action="store_true", help="block nothing, and only record")
    serve.add_argument("--fail-open", action="store_true", help="let pass what cannot be checked")

    for command in (check, serve):
        command.add_argument("--bundle", help="an installed bundle's name, or a folder")
        command.add_argument("--public-key", metavar="FILE", help="ask for a signature: minisign.pub")
    return whole


def public_key(arguments: argparse.Namespace) -> str | None:
    """The text of the key's file."""
    if arguments.public_key is None:
        return None
    return pathlib.Path(arguments.public_key).read_text(encoding="utf-8")


def lines(texts: Sequence[str]) -> Iterable[str]:
    """The texts; `-` stands for the lines of standard input."""
    for text in texts:
        if text == "-":
            yield from (line.rstrip("\r\n") for line in sys.stdin)
        else:
            yield text


def check(arguments: argparse.Namespace) -> int:
    """Checks texts, and prints a line for each."""
    if arguments.response is not None and len(arguments.texts) != 1:
        raise duoguard.InvalidArgumentError("--response answers one text; expected one")
    guard = duoguard.Guard(arguments.bundle, public_key=public_key(arguments))
    code, checked = SAFE, 0
    for text in lines(arguments.texts):
        verdict = guard.check(text, arguments.response, arguments.language)
        print(json.dumps(verdict.to_dict()) if arguments.json else f"{verdict}", flush=True)
        code = max(code, UNSAFE if verdict.flagged else SAFE)
        checked += 1
    if not checked:
        raise duoguard.InvalidArgumentError("standard input is empty; no text was checked")
    return code


def serve(arguments: argparse.Namespace) -> int:
    """Serves until the process is asked to end."""
    from duoguard import _bundles, _native

    _native.serve(
        _bundles.find(arguments.bundle)[1],
        public_key=public_key(arguments),
        listen=arguments.listen,
        policy=arguments.policy,
        keys=arguments.keys,
        upstream=arguments.upstream,
        upstream_key=arguments.upstream_key,
        audit=arguments.audit,
        fail_open=arguments.fail_open,
    )
    return SAFE


def main(words: Sequence[str] | None = None) -> int:
    """Runs the command line, and returns its exit code."""
    arguments = parser().parse_args(words)
    try:
        return check(arguments) if arguments.command == "check" else serve(arguments)
    except (duoguard.Error, OSError, RuntimeError, UnicodeDecodeError) as error:
        print(f"not checked: {error}", file=sys.stderr)
        return NOT_CHECKED


if __name__ == "__main__":
    sys.exit(main())
