"""A program that uses the whole of the package; mypy --strict reads it."""

import duoguard


def report(guard: duoguard.Guard, texts: list[str]) -> dict[str, float]:
    verdict: duoguard.Verdict = guard.check(texts[0], None, "en", join="newline", max_tokens=8)
    flagged: bool = verdict.flagged
    name: str | None = verdict.category
    batch = guard.check_batch(texts, language=["en"] * len(texts), threads=2, on_error="keep")
    view: memoryview = batch.scores
    errors: list[str | None] = batch.errors
    with guard.stream("Who?", debounce_bytes=1, thresholds={"hate": 0.5}) as stream:
        look: duoguard.Verdict | None = stream.push("I.")
        last: duoguard.Verdict = stream.finish()
    try:
        duoguard.Guard("./no", engine="native", threads=2, public_key="RW")
    except duoguard.BundleReadError as error:
        print(error.status, flagged, name, view, errors, look, last, verdict.span.start)
    return {**verdict.scores, "first": [row.score for row in batch][0]}
