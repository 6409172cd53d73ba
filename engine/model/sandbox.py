"""A sandbox: work on a stranger's data in a child process with bounded memory and time."""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import json
import os
import select
import signal
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attentropy.engine.errors import AttentropyError, UsageError

_PATIENCE = 10.0  # seconds to wait per second of the child's processor time: machines are busy
_KINDS = {kind.__name__: kind for kind in (UsageError, AttentropyError)}


class WorkFailed(Exception):
    """The work raised, exceeded its memory or time, or ended its process."""


def run_bounded(work: Callable[[], Any], *, seconds: int, mebibytes: int) -> Any:
    """Return the result of `work()`, done in a forked child process.

    seconds: of processor time. mebibytes: of memory, in addition to what this process has.
    `work` returns plain JSON data (a tuple comes back as a list). Raises the work's own
    `UsageError` or `AttentropyError`, and `WorkFailed` for everything else. Where the system cannot
    fork (Windows) nothing is bounded; where it does not bound address space (macOS), only time is.
    """
    if not hasattr(os, "fork"):
        return _unpack(_answer(work))
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        # The child needs no lock that another thread holds: it does this work and leaves by _exit.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        os.close(reader)
        _run_child(work, writer, seconds, mebibytes)
    os.close(writer)
    try:
        answer = _read(reader, time.monotonic() + _PATIENCE * seconds)
    finally:
        os.close(reader)
        os.kill(child, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(child, 0)
    if not answer:
        raise WorkFailed(f"it took more than {seconds} s, or crashed")
    return _unpack(json.loads(answer))


def _run_child(work: Callable[[], Any], writer: int, seconds: int, mebibytes: int) -> None:
    """Do the work in the child, write its answer, and end the process."""
    try:
        gc.disable()  # the parent's objects must not be finalised here
        faulthandler.disable()
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        _limit(seconds, mebibytes)
        try:
            answer = json.dumps(_answer(work))
        except MemoryError:
            answer = json.dumps({"kind": "", "message": f"it took more than {mebibytes} MiB"})
        with open(writer, "w", encoding="utf-8") as pipe:
            pipe.write(answer)
    finally:
        os._exit(0)


def _answer(work: Callable[[], Any]) -> dict[str, Any]:
    """Return the result of `work()`, or the error that it raised, as JSON data."""
    try:
        return {"result": work()}
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


def _limit(seconds: int, mebibytes: int) -> None:
    """Limit this process's processor time, and its memory where the system allows it."""
    import resource

    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sizes = Path("/proc/self/statm")
    if sizes.exists():
        used = int(sizes.read_text().split()[0]) * resource.getpagesize()
        limit = used + (mebibytes << 20)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _read(reader: int, deadline: float) -> bytes:
    """Return all that the child writes; nothing if it has not finished by `deadline`."""
    poll = select.poll()
    poll.register(reader, select.POLLIN)
    parts: list[bytes] = []
    while (left := deadline - time.monotonic()) > 0 and poll.poll(1000 * left):
        part = os.read(reader, 1 << 20)
        if not part:
            return b"".join(parts)
        parts.append(part)
    return b""
