"""Repeated timing of one call."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

_RUNS = (3, 200)


def seconds(run: Callable[[], object], device: str, budget: float) -> list[float]:
    """Times of single runs after a warm-up; on a GPU between events, its level-2 cache cold."""
    run()
    times: list[float] = []
    cache = torch.empty(64 * 2**20, dtype=torch.int32, device=device) if device == "cuda" else None
    begin = time.perf_counter()
    while len(times) < _RUNS[0] or (len(times) < _RUNS[1] and time.perf_counter() - begin < budget):
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
