"""A sandbox: work on a stranger's data in a child process with bounded memory and time.

A fork copies the page tables of all that this process has, so it is cheap before a model's weights
are loaded and dear after that: `one_child` keeps the first child for the work that follows.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import importlib
import json
import os
import select
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attentropy.engine import failures
from attentropy.engine.errors import AttentropyError, UsageError

_GLANCE = 100  # milliseconds between two looks at a child's memory
_PATIENCE = 10.0  # seconds to wait per second of the child's processor time: machines are busy
_KINDS = {kind.__name__: kind for kind in (UsageError, AttentropyError)}


class WorkFailed(Exception):
    """The work raised, exceeded its memory or time, or ended its process."""


def run_bounded(work: Callable[..., Any], *data: Any, seconds: int, mebibytes: int) -> Any:
    """Return the result of `work(*data)`, done in a forked child process.

    seconds: of processor time. mebibytes: of memory, in addition to what the process has.
    `work` returns plain JSON data (a tuple comes back as a list). Raises the work's own
    `UsageError` or `AttentropyError`, and `WorkFailed` for everything else. Where the system cannot
    fork (Windows) nothing is bounded; where it does not bound address space (macOS), only time is.
    """
    task = _Task(work, data, seconds, mebibytes)
    if not hasattr(os, "fork"):
        return _unpack(_answer(task))
    with one_child() as child:
        return child.run(task)


@contextlib.contextmanager
def one_child() -> Iterator[_Child]:
    """Let all work share one child while this is open; it is forked for the first.

    Later work is sent to it where that is a function of a module and its data are plain JSON data;
    other work gets a new child, which replaces it.
    """
    outer = _shared.get()
    if outer is not None:
        yield outer
        return
    child = _Child()
    token = _shared.set(child)
    try:
        yield child
    finally:
        _shared.reset(token)
        child.end()


@dataclass(frozen=True)
class _Task:
    """Work to do, on what, and within which bounds."""

    work: Callable[..., Any]
    data: Sequence[Any]
    seconds: int
    mebibytes: int

    def as_line(self) -> bytes | None:
        """Return this as a line of JSON, None where JSON cannot hold it."""
        module, name = self.work.__module__, self.work.__qualname__
        if getattr(sys.modules.get(module), name, None) is not self.work:
            return None
        facts = [module, name, list(self.data), self.seconds, self.mebibytes]
        try:
            line = json.dumps(facts)
            return f"{line}\n".encode() if json.loads(line) == facts else None
        except (TypeError, ValueError, RecursionError):
            return None

    @staticmethod
    def from_line(line: bytes) -> _Task:
        module, name, *rest = json.loads(line)
        return _Task(getattr(importlib.import_module(module), name), *rest)


class _Child:
    """A forked child process that does one task after the other, and the pipes to it and back."""

    def __init__(self) -> None:
        self._process = 0  # none
        self._tasks = self._answers = -1

    def run(self, task: _Task) -> Any:
        """Return the result of a task; see `run_bounded`."""
        if not self._is_sent(task):
            self._begin(task)
        answer = b""
        try:
            answer = self._read(task)
        except BaseException:
            self.end()
            raise
        return _unpack(json.loads(answer))

    def end(self) -> int | None:
        """End the process, whatever it does; return how it had ended before, None if it had not."""
        process, self._process = self._process, 0
        if not process:
            return None
        os.close(self._tasks)
        os.close(self._answers)
        with contextlib.suppress(ProcessLookupError, ChildProcessError):  # waited for elsewhere
            number, status = os.waitpid(process, os.WNOHANG)
            if number:
                return os.waitstatus_to_exitcode(status)
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
        return None

    def _read(self, task: _Task) -> bytes:
        """Return the line that the child answers. Raises `WorkFailed` where there is none.

        The child's own bounds end it; where the system refuses these, it is ended from here.
        """
        deadline = time.monotonic() + _PATIENCE * task.seconds
        most = _resident_bytes(os.getpid()) + (task.mebibytes << 20)
        poll = select.poll()
        poll.register(self._answers, select.POLLIN)
        parts: list[bytes] = []
        while time.monotonic() < deadline:
            if _resident_bytes(self._process) > most:
                raise WorkFailed(f"it took more than {task.mebibytes} MiB")
            if not poll.poll(_GLANCE):
                continue
            part = os.read(self._answers, 1 << 20)
            if not part:
                raise WorkFailed(self._end_in_words(task))
            parts.append(part)
            if part.endswith(b"\n"):
                return b"".join(parts)
        raise WorkFailed(f"it took more than {_PATIENCE * task.seconds:.0f} s")

    def _end_in_words(self, task: _Task) -> str:
        """Return how a child ended that closed its pipe."""
        with contextlib.suppress(ChildProcessError):
            os.waitid(os.P_PID, self._process, os.WEXITED | os.WNOWAIT)
        code = self.end()
        if code == -signal.SIGPROF:
            return f"it took more than {task.seconds} s of processor time"
        return f"its process {'is gone' if code is None else failures.end_of_process(code)}"

    def _is_sent(self, task: _Task) -> bool:
        line = task.as_line() if self._process else None
        if line is None:
            return False
        try:
            with open(self._tasks, "wb", closefd=False) as pipe:
                pipe.write(line)
        except BrokenPipeError:
            return False
        return True

    def _begin(self, task: _Task) -> None:
        """Fork a process that does `task`, of which it has everything, and then what it is sent."""
        self.end()
        handles: list[int] = []
        try:
            for _ in range(2):
                handles += os.pipe()
            with warnings.catch_warnings():
                # The child needs no lock that another thread holds: it does its work and leaves by
                # _exit.
                warnings.simplefilter("ignore", DeprecationWarning)
                self._process = os.fork()
        except OSError as error:
            for handle in handles:
                os.close(handle)
            raise AttentropyError(
                f"the process that checks the model could not start: {failures.line(error)}"
            ) from error
        tasks, answers = handles[:2], handles[2:]
        if not self._process:
            os.close(tasks[1])
            os.close(answers[0])
            _serve(task, tasks[0], answers[1])
        os.close(tasks[0])
        os.close(answers[1])
        self._tasks, self._answers = tasks[1], answers[0]


_shared: ContextVar[_Child | None] = ContextVar("attentropy_child", default=None)


def _serve(task: _Task, tasks: int, answers: int) -> None:
    """Do `task` in the child, then those that come, write their answers, and end the process."""
    try:
        gc.disable()  # the parent's objects must not be finalised here
        faulthandler.disable()
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        with open(tasks, "rb") as lines, open(answers, "w", encoding="utf-8") as pipe:
            while True:
                _limit(task)
                try:
                    answer = json.dumps(_answer(task))
                except MemoryError:
                    message = f"it took more than {task.mebibytes} MiB"
                    answer = json.dumps({"kind": "", "message": message})
                pipe.write(f"{answer}\n")
                pipe.flush()
                if not (line := lines.readline()):
                    break
                task = _Task.from_line(line)
    finally:
        os._exit(0)


def _answer(task: _Task) -> dict[str, Any]:
    """Return the result of a task, or the error that it raised, as JSON data."""
    try:
        return {"result": task.work(*task.data)}
    except MemoryError:
        raise
    except Exception as error:  # whatever it is, the parent raises it again
        kind = type(error).__name__
        message = str(error)[:2000]
        return {"kind": kind, "message": message or kind}


def _unpack(answer: dict[str, Any]) -> Any:
    """Return the result in an answer, or raise its error."""
    if "result" in answer:
        return answer["result"]
    raise _KINDS.get(answer["kind"], WorkFailed)(answer["message"])


def _limit(task: _Task) -> None:
    """Limit this process's processor time and its memory, as far as the system allows it.

    The processor time counts from here, and both bounds may be raised again, for the next task.
    Some containers refuse such limits; there the parent alone watches.
    """
    import resource

    with contextlib.suppress(OSError, ValueError):
        signal.signal(signal.SIGPROF, signal.SIG_DFL)  # which ends this process
        signal.setitimer(signal.ITIMER_PROF, task.seconds)
    bounds = {resource.RLIMIT_CORE: 0}
    sizes = Path("/proc/self/statm")
    if sizes.exists():
        size = int(sizes.read_text().split()[0]) * resource.getpagesize()
        bounds[resource.RLIMIT_AS] = size + (task.mebibytes << 20)
    for name, bound in bounds.items():
        with contextlib.suppress(OSError, ValueError):
            most = resource.getrlimit(name)[1]
            allowed = bound if most == resource.RLIM_INFINITY else min(bound, most)
            resource.setrlimit(name, (allowed, most))


def _resident_bytes(process: int) -> int:
    """Return the memory that a process holds, 0 where the system does not say it."""
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf(
            "SC_PAGE_SIZE"
        )
    except (OSError, ValueError, IndexError):
        return 0
