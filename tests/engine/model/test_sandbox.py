"""A child process has bounded time and memory, and returns a result or an error."""

import os
import resource
import signal
import time

import pytest

from attentropy.engine.errors import AttentropyError, UsageError
from attentropy.engine.model import sandbox as module
from attentropy.engine.model.sandbox import WorkFailed, one_child, run_bounded

_BOUNDS = {"seconds": 2, "mebibytes": 128}


def _do(work):
    return run_bounded(work, **_BOUNDS)


def test_the_result_comes_back_and_nothing_else_does():
    calls = []
    assert _do(lambda: calls.append(1) or ["é\ud800", {"a": None}]) == ["é\ud800", {"a": None}]
    assert calls == []
    large = "x" * 3_000_000
    assert _do(lambda: large) == large


def test_memory_is_bounded():
    with pytest.raises(WorkFailed, match="128 MiB"):
        _do(lambda: len(bytearray(2**28)))
    assert _do(lambda: len(bytearray(2**26))) == 2**26


def test_time_is_bounded(monkeypatch):
    def forever():
        while True:
            pass

    def child_seconds():
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    monkeypatch.setattr(module, "_PATIENCE", 600.0)  # so that the bound on processor time ends it
    before = child_seconds()
    with pytest.raises(WorkFailed, match="1 s"):
        run_bounded(forever, seconds=1, mebibytes=128)
    assert child_seconds() - before < 2


def test_a_child_that_hangs_is_ended(monkeypatch):
    monkeypatch.setattr(module, "_PATIENCE", 0.5)
    with pytest.raises(WorkFailed):
        _do(lambda: time.sleep(60))


def test_a_crash_stays_in_the_child():
    with pytest.raises(WorkFailed, match=r"crashed \(SIGABRT\)|ended with code 3"):
        _do(os.abort)
    with pytest.raises(WorkFailed, match=r"crashed \(SIGABRT\)|ended with code 3"):
        _do(lambda: os._exit(3))


def _raise(error):
    raise error


@pytest.mark.parametrize("kind", [UsageError, AttentropyError])
def test_its_own_errors_keep_their_kind(kind):
    with pytest.raises(kind) as caught:
        _do(lambda: _raise(kind("why")))
    assert type(caught.value) is kind
    assert str(caught.value) == "why"


def test_other_errors_say_what_they_were():
    with pytest.raises(WorkFailed, match=r"^why$"):
        _do(lambda: _raise(OSError("why")))
    with pytest.raises(WorkFailed, match="ZeroDivisionError"):
        _do(lambda: _raise(ZeroDivisionError()))


@pytest.fixture
def forked(monkeypatch):
    """Return the ids of the children that are forked."""
    fork, children = os.fork, []

    def noted():
        children.append(fork())
        return children[-1]

    monkeypatch.setattr(os, "fork", noted)
    return children


def _assert_ended(children):
    for child in children:
        with pytest.raises(ChildProcessError):  # it was waited for already
            os.waitpid(child, os.WNOHANG)


def test_no_child_is_left_behind(forked):
    _do(lambda: 1)
    assert len(forked) == 1
    _assert_ended(forked)


# What a child that is there already can be sent: functions of a module.
def _own_process():
    return os.getpid()


def _size(count):
    return len(bytearray(count))


def _spin():
    while True:
        pass


def _echo(*data):
    return list(data)


def test_the_works_of_one_run_share_a_child(forked):
    text = "x" * 1_000_000
    with one_child():
        first = _do(lambda: os.getpid())
        assert _do(_own_process) == first != os.getpid()
        with one_child():  # as in a run within a run
            assert run_bounded(_echo, text, {"a": [None, 1.5, "é\ud800"]}, **_BOUNDS) == [
                text, {"a": [None, 1.5, "é\ud800"]}
            ]  # fmt: skip
        with pytest.raises(WorkFailed, match="argument"):
            run_bounded(_size, "a text", **_BOUNDS)
        assert _do(_own_process) == first
    assert forked == [first]
    _assert_ended(forked)


def test_each_work_of_a_child_has_bounds_of_its_own(forked):
    with one_child():
        for _ in range(2):
            assert run_bounded(_size, 2**26, **_BOUNDS) == 2**26
            with pytest.raises(WorkFailed, match="128 MiB"):
                run_bounded(_size, 2**28, **_BOUNDS)
        assert run_bounded(_size, 2**28, seconds=2, mebibytes=512) == 2**28
        assert len(forked) == 1
        with pytest.raises(WorkFailed, match="1 s"):
            run_bounded(_spin, seconds=1, mebibytes=128)
        assert _do(_own_process) == forked[1]
    assert len(forked) == 2
    _assert_ended(forked)


@pytest.mark.parametrize("end", [os.abort, os._exit])
def test_a_child_that_ended_is_replaced(forked, end):
    with one_child():
        _do(_own_process)
        with pytest.raises(WorkFailed, match=r"crashed \(SIGABRT\)|ended with code 3"):
            run_bounded(end, *([3] if end is os._exit else []), **_BOUNDS)
        assert _do(_own_process) == forked[1]
        os.kill(forked[1], signal.SIGKILL)
        os.waitid(os.P_PID, forked[1], os.WEXITED | os.WNOWAIT)
        assert _do(_own_process) == forked[2]
    _assert_ended(forked)


def test_a_child_that_was_waited_for_elsewhere_is_replaced(forked):
    with one_child():
        _do(_own_process)
        os.kill(forked[0], signal.SIGKILL)
        os.waitpid(forked[0], 0)  # as a program does that collects all its children
        assert _do(_own_process) == forked[1]
    _assert_ended(forked)


@pytest.mark.parametrize("data", [(1, 2), {1: 2}, b"x", float("nan"), {1, 2}, object()])
def test_data_that_json_would_change_are_inherited_by_a_new_child(forked, data):
    with one_child():
        _do(_own_process)
        assert run_bounded(_is_same, data, repr(data), **_BOUNDS)
    assert len(forked) == 2


def _is_same(data, text):
    return repr(data) == text


def test_without_fork_the_work_is_done_here(monkeypatch):
    monkeypatch.delattr(os, "fork")
    assert _do(lambda: [1]) == [1]
    with pytest.raises(UsageError, match="why"):
        _do(lambda: _raise(UsageError("why")))
