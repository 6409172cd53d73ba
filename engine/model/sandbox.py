"""A stranger's data worked on in a child process that cannot take the machine's memory or time."""

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

_PATIENCE = 10.0  # seconds of waiting for each of the child's own, on a busy machine
_KINDS = {kind.__name__: kind for kind in (UsageError, AttentropyError)}


class WorkFailed(Exception):
    """The work raised, exceeded its memory or time, or ended its process."""


def bounded(work: Callable[[], Any], *, seconds: int, mebibytes: int) -> Any:
    """`work()`, done in a forked child with `seconds` of processor time and so much more memory.

    It returns plain JSON data (a tuple comes back as a list). Raises the work's own `UsageError`
    or `AttentropyError`, and `WorkFailed` for everything else. Where the system cannot fork
    (Windows) nothing is bounded; where it does not bound address space (macOS), only time is.
    """
    if not hasattr(os, "fork"):
        return _result(_answer(work))
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        # The child takes no lock of another thread: it does this work alone and leaves by _exit.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        os.close(reader)
        _work(work, writer, seconds, mebibytes)
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
    return _result(json.loads(answer))


def _work(work: Callable[[], Any], writer: int, seconds: int, mebibytes: int) -> None:
    """The child's part: never returns."""
    try:
        gc.disable()  # nothing of the parent's is to be finalised here
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
    try:
        return {"result": work()}
    except MemoryError:
        raise
    except Exception as error:
        kind = type(error).__name__
        message = str(error)[:2000]
        return {"kind": kind, "message": message or kind}


def _result(answer: dict[str, Any]) -> Any:
    if "result" in answer:
        return answer["result"]
    raise _KINDS.get(answer["kind"], WorkFailed)(answer["message"])


def _limit(seconds: int, mebibytes: int) -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    held = Path("/proc/self/statm")
    if held.exists():
        now = int(held.read_text().split()[0]) * resource.getpagesize()
        most = now + (mebibytes << 20)
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _read(reader: int, deadline: float) -> bytes:
    """All that the child writes; nothing if it is not done by `deadline`."""
    poll = select.poll()
    poll.register(reader, select.POLLIN)
    parts: list[bytes] = []
    while (left := deadline - time.monotonic()) > 0 and poll.poll(1000 * left):
        part = os.read(reader, 1 << 20)
        if not part:
            return b"".join(parts)
        parts.append(part)
    return b""
