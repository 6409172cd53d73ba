"""Repeated timing of one call, on a CPU or a GPU."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

_MIN_RUNS, _MAX_RUNS = 3, 200
_CACHE_NUMBERS = 64 * 2**20  # int32: more than any GPU's level-2 cache holds


def time_runs(run: Callable[[], object], device: str, budget: float) -> list[float]:
    """Return the seconds of single runs after a warm-up, for about `budget` seconds.

    On a GPU they are measured between events, with a cold level-2 cache.
    """
    run()
    times: list[float] = []
    on_gpu = device == "cuda"
    cache = torch.empty(_CACHE_NUMBERS, dtype=torch.int32, device=device) if on_gpu else None
    deadline = time.perf_counter() + budget
    while len(times) < _MIN_RUNS or (len(times) < _MAX_RUNS and time.perf_counter() < deadline):
        if cache is None:
            start = time.perf_counter()
            run()
            times.append(time.perf_counter() - start)
            continue
        cache.zero_()
        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        first.record()
        run()
        last.record()
        torch.cuda.synchronize()
        times.append(first.elapsed_time(last) / 1e3)
    return times
