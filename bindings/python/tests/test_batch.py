"""Many texts: scores that NumPy takes, kept errors, interrupts."""

import _thread
import signal
import threading
import time

import numpy
import pytest

import duoguard
from conftest import BREAD, UNSAFE


def test_scores_are_those_of_single_checks(guard):
    texts = [BREAD, UNSAFE, "", "Où est le pain ?"] * 5
    batch = guard.check_batch(texts, threads=3)
    assert list(batch) == [guard.check(text) for text in texts]
    scores = numpy.asarray(batch.scores)
    assert scores.shape == (20, 12) and scores.dtype == numpy.float32
    assert [list(row) for row in scores] == [list(v.scores.values()) for v in batch]
    assert batch[-1] == batch[19] and repr(batch) == "<Batch of 20: 5 unsafe>"
    with pytest.raises(IndexError):
        batch[20]


def test_columns_fit_a_data_frame(guard):
    columns = guard.check_batch([BREAD, UNSAFE], language=["en", None]).columns()
    assert columns["flagged"] == [False, True] and columns["category"] == [None, "hate"]
    assert columns["language"] == ["en", "en"] and columns["error"] == [None, None]
    assert {len(column) for column in columns.values()} == {2}


def test_a_row_that_fails_is_named_or_kept(guard):
    rows = [BREAD, "a" * 4194305, None, "\udfff", UNSAFE]
    with pytest.raises(duoguard.InvalidArgumentError, match="row 2: text is a NoneType"):
        guard.check_batch(rows)
    with pytest.raises(duoguard.InvalidArgumentError, match="row 1: text of 4194305 bytes"):
        guard.check_batch(rows[:2])
    batch = guard.check_batch(rows, on_error="keep")
    assert [error is None for error in batch.errors] == [True, False, False, False, True]
    assert batch[4].flagged and batch.columns()["flagged"] == [False, None, None, None, True]
    assert numpy.isnan(numpy.asarray(batch.scores)[1:4]).all()
    with pytest.raises(duoguard.InvalidArgumentError, match="row 3"):
        batch[3]


def test_columns_of_unlike_length_are_refused(guard):
    with pytest.raises(ValueError, match="responses has 1 entries"):
        guard.check_batch([BREAD, BREAD], [None])
    with pytest.raises(ValueError, match="responses has more entries"):
        guard.check_batch([BREAD], [None, None])
    with pytest.raises(TypeError, match="one str"):
        guard.check_batch(BREAD)


def test_an_empty_batch(guard):
    batch = guard.check_batch([])
    assert len(batch) == 0 and batch.scores.nbytes == 0 and list(batch) == []


def test_other_threads_run_meanwhile(guard):
    ticks, ended = [], threading.Event()

    def tick():
        while not ended.is_set():
            ticks.append(time.monotonic())
            time.sleep(0.001)

    thread = threading.Thread(target=tick)
    thread.start()
    started = time.monotonic()
    guard.check_batch([UNSAFE * 5] * 200, threads=1)
    inside = [at for at in ticks if at > started]
    ended.set()
    thread.join()
    assert len(inside) > 10


def test_ctrl_c_ends_a_batch(guard):
    # A process that a shell put into the background begins without a handler.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    timer = threading.Timer(0.3, _thread.interrupt_main, [signal.SIGINT])
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        guard.check_batch([UNSAFE * 20] * 20000)
    signal.signal(signal.SIGINT, before)
    assert guard.check(UNSAFE).flagged
