"""One check: arguments, verdicts, errors, pickles."""

import copy
import json
import os
import pathlib
import pickle
import threading

import pytest

import duoguard
from conftest import BREAD, UNSAFE


def test_a_verdict_is_read_by_its_fields(guard):
    verdict = guard.check(UNSAFE)
    assert verdict.flagged and verdict.category == "hate"
    assert list(verdict.scores) == guard.categories
    assert verdict.score == max(verdict.scores.values())
    assert repr(verdict).startswith("<Verdict unsafe: hate 0.")
    assert json.loads(json.dumps(verdict.to_dict()))["span"]["end"] == len(UNSAFE)
    with pytest.raises(TypeError, match="look at .flagged"):
        bool(verdict)
    with pytest.raises(AttributeError):
        verdict.flagged = False


def test_spans_count_characters(guard):
    text = "家でパンを焼くにはどうすればいいですか。"
    span = guard.check(text).span
    assert (span.part, text[span.start : span.end]) == ("prompt", text)
    long = "🍞 " * 200 + UNSAFE * 8 + " 🍞" * 400
    span = guard.check("🥖", long).span
    assert span.part == "response" and "disgusting" in long[span.start : span.end]


@pytest.mark.parametrize("copied", [lambda x: pickle.loads(pickle.dumps(x)), copy.deepcopy])
def test_verdicts_and_guards_are_pickled(guard, copied):
    verdict = guard.check(UNSAFE, max_tokens=5)
    assert copied(verdict) == verdict
    assert copied(verdict.span) == verdict.span and hash(copied(verdict.span)) == hash(verdict.span)
    again = copied(guard)
    assert repr(again) == repr(guard) and again.check(UNSAFE) == guard.check(UNSAFE)
    by_path = duoguard.Guard(guard.path, engine="native")
    assert copied(by_path).path == guard.path and copied(by_path).engine == "native"


def test_texts_that_are_no_text_are_refused(guard):
    with pytest.raises(TypeError, match="text is a bytes; expected a str"):
        guard.check(b"bread")
    with pytest.raises(duoguard.InvalidArgumentError, match="response is not text"):
        guard.check("bread", "\ud800")
    with pytest.raises(TypeError, match="'colour' is no option|\"colour\" is no option"):
        guard.check("bread", colour="red")
    with pytest.raises(duoguard.InvalidArgumentError, match='join is "tab"'):
        guard.check("bread", join="tab")


def test_errors_have_the_status_of_the_c_library(guard, tmp_path):
    with pytest.raises(duoguard.BundleReadError, match="manifest.json") as caught:
        duoguard.Guard(tmp_path / "no")
    assert caught.value.status == "IO" and isinstance(caught.value, OSError)
    for name in ("manifest.json", "tokenizer.json", "model.onnx", "stream.onnx", "weights.data"):
        data = bytearray((pathlib.Path(guard.path) / name).read_bytes())
        data[-1] ^= name == "weights.data"
        (tmp_path / name).write_bytes(data)
    with pytest.raises(duoguard.InvalidModelError, match="sha256|SHA-256"):
        duoguard.Guard(tmp_path)
    with pytest.raises(duoguard.InvalidArgumentError, match="abacus"):
        duoguard.Guard(engine="abacus")
    with pytest.raises(duoguard.InvalidArgumentError, match="no bundle 'maxi'.*mini"):
        duoguard.Guard("maxi")
    with pytest.raises(duoguard.InvalidArgumentError, match="threads is 0"):
        duoguard.Guard(threads=0)


def test_a_bundle_whose_key_is_named_has_to_be_signed(guard):
    folder = os.environ.get("DUOGUARD_SIGNED")
    assert folder, "DUOGUARD_SIGNED names no folder: see scripts/bindings.sh"
    folder = pathlib.Path(folder)
    key, other = ((folder / name).read_text() for name in ("minisign.pub", "other.pub"))
    signed = duoguard.Guard(folder / "signed", public_key=key)
    assert pickle.loads(pickle.dumps(signed)).check(UNSAFE) == guard.check(UNSAFE)
    with pytest.raises(duoguard.InvalidModelError, match="different key"):
        duoguard.Guard(folder / "signed", public_key=other)
    with pytest.raises(duoguard.InvalidModelError, match="not signed"):
        duoguard.Guard("mini", public_key=key)
    with pytest.raises(duoguard.InvalidArgumentError, match="public key"):
        duoguard.Guard(folder / "signed", public_key="")
    # What was pickled asks again.
    pickled = pickle.dumps(signed)
    signature = folder / "signed/manifest.json.minisig"
    kept = signature.read_text()
    try:
        signature.unlink()
        with pytest.raises(duoguard.InvalidModelError, match="not signed"):
            pickle.loads(pickled)
    finally:
        signature.write_text(kept)


def test_a_package_brings_a_bundle(guard, tmp_path, monkeypatch):
    info = tmp_path / "duoguard_other-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: duoguard-other\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[duoguard.bundles]\nother = duoguard_other:FOLDER\n")
    (tmp_path / "duoguard_other.py").write_text(f"FOLDER = {str(guard.path)!r}\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert set(duoguard.bundles()) == {"base", "mini", "other"}
    assert duoguard.Guard("other").check(BREAD) == guard.check(BREAD)


def test_streams(guard):
    with guard.stream(debounce_bytes=1) as stream:
        looks = [stream.push(piece) for piece in ("You people are ", "disgusting ", "and stupid.")]
        assert all(isinstance(look, duoguard.Verdict) for look in looks)
        assert stream.text == "You people are disgusting and stupid."
        assert stream.finish() == guard.check(stream.text)
        assert isinstance(stream.uses_cache, bool)
    with pytest.raises(RuntimeError, match="closed"):
        stream.push("more")
    with guard.stream("Who?") as stream:
        assert stream.push("é".encode()[:1]) is None
        with pytest.raises(duoguard.InvalidArgumentError, match="inside a character"):
            stream.finish()
    with pytest.raises(duoguard.InvalidArgumentError, match="BCP-47"):
        guard.stream(language="mostly German")


def test_sixteen_threads_on_one_guard(guard):
    expected, found = guard.check(UNSAFE), []

    def work():
        found.extend(guard.check(UNSAFE) for _ in range(25))

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
        assert not thread.is_alive()
    assert len(found) == 16 * 25 and all(verdict == expected for verdict in found)


def test_base_is_the_bundle_that_nobody_has_to_name():
    guard = duoguard.Guard()
    assert str(guard.path) == duoguard.bundles()["base"]
    verdict = guard.check("Wo ist das Brot?")
    assert not verdict.flagged and verdict.language == "de"
    assert guard.check(UNSAFE).category == "hate"


def test_engines_say_what_they_are():
    names = [name for name, _, _ in duoguard.engines()]
    assert "native" in names
