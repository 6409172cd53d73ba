"""A clock that counts operations, so that measured times do not depend on the machine."""

from __future__ import annotations

import time
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode

TICK = 1e-3  # seconds per operation of torch


class CountedClock(TorchDispatchMode):
    """While open, `time.perf_counter` counts the operations of torch in this thread.

    `advance` lets more time pass, in any thread. Everything else takes no time at all, so the same
    work always takes the same time.
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
        """Let `seconds` pass."""
        self.now += seconds
