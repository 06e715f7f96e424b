"""Forks and spawned processes: work, or an error, and never a wait without end."""

import multiprocessing.pool
import os
import signal
import threading

import pytest

import duoguard
from conftest import BREAD, UNSAFE

LIMIT = 60


def begin(work):
    """Runs `work` in a fork, which is ended if it hangs: its process and a pipe to what it says."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(LIMIT)
        try:
            os.write(write, work().encode())
        except BaseException as error:
            os.write(write, f"{type(error).__name__}: {error}".encode())
        finally:
            os._exit(0)
    os.close(write)
    return child, read


def in_child(work):
    """Runs `work` in a fork, and returns what it wrote."""
    return said_by(*begin(work))


def said_by(child, read):
    """What a child wrote; one that hangs has been ended, and fails."""
    with os.fdopen(read) as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    assert status == 0, f"the child ended with {status}, 14 being a wait of {LIMIT} s"
    return said


def test_four_forks_of_one_guard_check():
    guard = duoguard.Guard(engine="native")
    expected = guard.check(UNSAFE)
    for _ in range(4):
        assert in_child(lambda: repr(guard.check(UNSAFE))) == repr(expected)
        assert in_child(lambda: repr(guard.check_batch([UNSAFE] * 4, threads=2)[3])) == repr(expected)
    assert guard.check(UNSAFE) == expected


def test_a_fork_at_work_of_other_threads():
    guard = duoguard.Guard("mini", engine="native")
    with multiprocessing.pool.ThreadPool(4) as pool:
        running = pool.map_async(guard.check, [UNSAFE * 5] * 200)
        for _ in range(5):
            assert in_child(lambda: str(guard.check(BREAD).flagged)) == "False"
        assert all(verdict.flagged for verdict in running.get(LIMIT))


def test_sixteen_threads_in_four_forks_at_once():
    guard = duoguard.Guard("mini", engine="native")
    expected = guard.check(UNSAFE)

    def work():
        found = []
        check = lambda: found.extend(guard.check(UNSAFE) for _ in range(4))
        threads = [threading.Thread(target=check) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return str(found == [expected] * 64)

    with multiprocessing.pool.ThreadPool(16) as pool:
        running = pool.map_async(guard.check, [UNSAFE] * 400)
        children = [begin(work) for _ in range(4)]
        assert [said_by(*child) for child in children] == ["True"] * 4
        assert all(verdict == expected for verdict in running.get(LIMIT))


def test_a_stream_does_not_outlive_a_fork():
    stream = duoguard.Guard("mini", engine="native").stream()
    stream.push("bread")
    assert in_child(stream.finish).startswith("RuntimeError: the stream was begun before")
    assert not stream.finish().flagged


@pytest.mark.parametrize("method", ["spawn", "fork", "forkserver"])
def test_a_pool_of_processes(method):
    guard = duoguard.Guard("mini", engine="native")
    with multiprocessing.get_context(method).Pool(2) as pool:
        verdicts = pool.map_async(guard.check, [BREAD, UNSAFE] * 4).get(LIMIT)
    assert [verdict.flagged for verdict in verdicts] == [False, True] * 4
