"""SIGTERM and SIGHUP as exceptions, so that a command cleans up; and steps that none divides."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from attentropy.engine.errors import Terminated

_ENDING = [
    getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)
]  # a shell's `kill`, and the end of a terminal


@contextmanager
def as_exceptions(*, last: bool = False) -> Iterator[None]:
    """Raise `Terminated` in the main thread where a signal would end the process at once.

    A signal that is ignored (nohup), or handled by the caller, stays as it is. last: only the end
    of the process follows. Its work is done then, so these signals do not change how it ends.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        raise Terminated(number)

    earlier: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        earlier = {n: signal.signal(n, stop) for n in _ENDING if _is_default(n)}
    try:
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, signal.SIG_IGN if last else handler)


@contextmanager
def held_back() -> Iterator[None]:
    """Hold back signals that raise an exception until the steps within are done."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    handlers = {n: signal.getsignal(n) for n in (signal.SIGINT, *_ENDING)}
    handlers = {n: handler for n, handler in handlers.items() if callable(handler)}
    for number in handlers:
        signal.signal(number, lambda number, frame: came.append(number))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for number in came[:1]:
            signal.raise_signal(number)


def _is_default(number: int) -> bool:
    return signal.getsignal(number) is signal.SIG_DFL
