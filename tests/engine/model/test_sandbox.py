"""A child process has bounded time and memory, and returns a result or an error."""

import os
import resource
import time

import pytest

from attentropy.engine.errors import AttentropyError, UsageError
from attentropy.engine.model import sandbox as module
from attentropy.engine.model.sandbox import WorkFailed, run_bounded


def _do(work):
    return run_bounded(work, seconds=2, mebibytes=128)


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
    with pytest.raises(WorkFailed, match="crashed"):
        _do(os.abort)
    with pytest.raises(WorkFailed, match="crashed"):
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


def test_no_child_is_left_behind(monkeypatch):
    fork, children = os.fork, []

    def noted():
        children.append(fork())
        return children[-1]

    monkeypatch.setattr(os, "fork", noted)
    _do(lambda: 1)
    assert len(children) == 1
    with pytest.raises(ChildProcessError):  # the child was waited for already
        os.waitpid(children[0], os.WNOHANG)


def test_without_fork_the_work_is_done_here(monkeypatch):
    monkeypatch.delattr(os, "fork")
    assert _do(lambda: [1]) == [1]
    with pytest.raises(UsageError, match="why"):
        _do(lambda: _raise(UsageError("why")))
