"""The shared cases: what Python is told is what the C library says, to the last bit.

`bindings/cases.py` writes them, and DUOGUARD_CASES names the file; scripts/bindings.sh does both.
"""

import os
import pathlib
import struct

import pytest

import duoguard

JOINS = ["space", "newline", "separate"]


def pairs(line):
    return dict(pair.split("=", 1) for pair in line.rstrip("\t\n").split("\t"))


def read():
    """(name, case, answer) of every case."""
    path = os.environ.get("DUOGUARD_CASES")
    if path is None:
        return []
    lines = pathlib.Path(path).read_text().splitlines()
    found = [(pairs(case), pairs(answer)) for case, answer in zip(lines[::2], lines[1::2])]
    return [(bytes.fromhex(case["name"]).decode(), case, answer) for case, answer in found]


CASES = read()


def test_the_cases_are_there():
    assert len(CASES) >= 30, "DUOGUARD_CASES names no file of cases: see the top of this file"


def number(digits):
    return struct.unpack("<f", struct.pack("<I", int(digits, 16)))[0]


def bits(score):
    return struct.unpack("<I", struct.pack("<f", score))[0]


def arguments(case, categories):
    """A case as what `Guard.check` takes: text, response, language and options."""
    text = {key: bytes.fromhex(case[key]).decode() for key in case.keys() & {"prompt", "response"}}
    language = bytes.fromhex(case["language"]).decode() if "language" in case else None
    options = {}
    if "join" in case:
        options["join"] = JOINS[int(case["join"])]
    if "max_tokens" in case:
        options["max_tokens"] = int(case["max_tokens"])
    if "target_fpr" in case:
        options["target_fpr"] = number(case["target_fpr"])
    if "literal" in case:
        options["literal"] = True
    if "thresholds" in case:
        given = zip(categories, map(number, case["thresholds"].split(",")))
        options["thresholds"] = {name: threshold for name, threshold in given if threshold != 0}
    return (text.get("prompt", ""), text.get("response"), language), options


def said(verdict, text, response, categories):
    """A verdict in the answer's form: places in bytes, scores as bits."""
    span = verdict.span
    within = response if span.part == "response" else text
    return {
        "status": "DUOGUARD_OK",
        "flagged": str(int(verdict.flagged)),
        "top_category": str(-1 if verdict.category is None else categories.index(verdict.category)),
        "top_score": str(bits(verdict.score)),
        "tokens": str(verdict.tokens),
        "tokens_scored": str(verdict.tokens_scored),
        "windows": str(verdict.windows),
        "language": verdict.language,
        "span_in_response": str(int(span.part == "response")),
        "span_begin": str(len(within[: span.start].encode())),
        "span_end": str(len(within[: span.end].encode())),
        "coverage_partial": str(int(verdict.partial)),
        "scores": ",".join(str(bits(score)) for score in verdict.scores.values()),
    }


@pytest.mark.parametrize(("case", "answer"), [pair[1:] for pair in CASES], ids=[c[0] for c in CASES])
def test_python_says_what_c_says(guard, case, answer):
    categories = guard.categories
    (text, response, language), options = arguments(case, categories)
    if answer["status"] != "DUOGUARD_OK":
        with pytest.raises(duoguard.Error) as caught:
            guard.check(text, response, language, **options)
        assert f"DUOGUARD_{caught.value.status}" == answer["status"]
        assert str(caught.value) == bytes.fromhex(answer["message"]).decode()
        return
    verdict = guard.check(text, response, language, **options)
    expected = {key: answer[key] for key in answer if key not in ("reserved", "stream_agrees")}
    assert said(verdict, text, response, categories) == expected

    [of_batch] = guard.check_batch([text], [response], [language], **options)
    assert of_batch == verdict
    prompt = None if response is None else text
    with guard.stream(prompt, language, debounce_bytes=1 << 30, **options) as stream:
        assert stream.push(text if response is None else response) is None
        assert stream.finish() == verdict
