"""Counts of work instead of times, so that the result of a test does not depend on the machine."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode

TICK = 1e-3  # seconds per operation of torch


class CountedClock(TorchDispatchMode):
    """A context in which `time.perf_counter` counts the operations of torch in this thread.

    `advance` adds time, from any thread. Nothing else takes time, so the same work always takes the
    same time.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self._real = time.perf_counter

    def __enter__(self) -> Any:
        time.perf_counter = lambda: self.now
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        time.perf_counter = self._real
        super().__exit__(*error)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.now += TICK
        return func(*args, **(kwargs or {}))

    def advance(self, seconds: float) -> None:
        """Advance the clock by `seconds`."""
        self.now += seconds


# A child process has its own limits, and counting its calls would slow it down.
os.register_at_fork(after_in_child=lambda: sys.setprofile(None))


@dataclass
class Calls:
    """The number of functions that were called."""

    count: int = 0


@contextmanager
def counted_calls() -> Iterator[Calls]:
    """Count the calls of Python and C functions in this thread of this process."""
    calls = Calls()

    def count(frame: Any, event: str, argument: Any) -> None:
        if event in ("call", "c_call"):
            calls.count += 1

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        yield calls
    finally:
        sys.setprofile(before)


def bytes_read() -> int:
    """Return the number of bytes that this process has read; 0 where the system does not count."""
    counters = Path("/proc/self/io")
    if not counters.exists():
        return 0
    return int(counters.read_text().split()[1])
