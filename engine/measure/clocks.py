"""Seconds and bytes of the parts of a pass."""

from __future__ import annotations

import ctypes
import resource
import time
from pathlib import Path
from typing import Any

import torch

from attentropy.engine.measure.gauge import Gauge, Key

_STATUS = Path("/proc/self/status")


class Seconds(Gauge):
    """Time: on a GPU between events in its own order of work, on a CPU by the performance counter.

    The device is waited for in `wait` alone, so it never runs dry for being measured.
    """

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self._on_gpu = device.type == "cuda"
        self._marks: list[tuple[Any, Key | None]] = []  # a stamp, and what ran until it
        self._spare: list[Any] = []

    @property
    def clock(self) -> str:
        """Its name."""
        return "CUDA events" if self._on_gpu else "perf_counter"

    def _mark(self) -> None:
        self._marks.append((self._stamp(), self._open[-1] if self._open else None))

    def _stamp(self) -> Any:
        if not self._on_gpu:
            return time.perf_counter()
        event = self._spare.pop() if self._spare else torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def wait(self) -> None:
        if self._on_gpu:
            torch.cuda.synchronize()

    def read(self) -> dict[Key, float]:
        """Seconds; call `wait` before."""
        found: dict[Key, float] = {}
        for (start, _), (stop, key) in zip(self._marks, self._marks[1:], strict=False):
            if key is not None:
                took = start.elapsed_time(stop) / 1e3 if self._on_gpu else stop - start
                found[key] = found.get(key, 0.0) + took
        if self._on_gpu:
            self._spare += [stamp for stamp, _ in self._marks]
        self._marks.clear()
        return found


class Bytes(Gauge):
    """Peak of memory while a part was innermost, beyond what was taken as its layer began.

    On a GPU what PyTorch has allocated; on a CPU what the process has resident, freed memory given
    back at each mark. Reading the counters takes time: no pass is measured by both gauges.
    """

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self._device = device.type
        self._found: dict[Key, float] = {}
        self._bases: dict[int | None, int] = {}

    @property
    def counter(self) -> str | None:
        """Its name; None where this system has none."""
        if self._device == "cuda":
            return "torch.cuda.max_memory_allocated"
        return "resident size of the process" if _STATUS.exists() else None

    def _mark(self) -> None:
        if self.counter is None:
            return
        if self._open:
            key = self._open[-1]
            peak = peak_bytes(self._device) - self._bases[key[0]]
            self._found[key] = max(self._found.get(key, 0.0), float(peak))
        _reset(self._device)

    def _opened(self) -> None:
        layer = self._open[-1][0]
        if len(self._open) == 1 or self._open[-2][0] != layer:
            self._bases[layer] = _now(self._device) if self.counter is not None else 0

    def read(self) -> dict[Key, float]:
        """Bytes."""
        found, self._found = self._found, {}
        return found


def peak_bytes(device: str, *, reset: bool = False) -> int:
    """Bytes at the highest since the last reset, on "cuda" or "cpu"; `reset` sets it back first.

    What only the garbage collector frees is still taken: call it before, where that matters.
    """
    if reset:
        if device == "cuda":
            torch.cuda.synchronize()
        _reset(device)
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    if not _STATUS.exists():  # not Linux: the peak so far, which cannot be set back
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return _resident("VmHWM")


def _reset(device: str) -> None:
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    elif _STATUS.exists():
        # Freed memory goes back first, or what was taken before would hide what is taken next.
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's
        if trim is not None:
            trim(0)
        Path("/proc/self/clear_refs").write_text("5")


def _now(device: str) -> int:
    return torch.cuda.memory_allocated() if device == "cuda" else _resident("VmRSS")


def _resident(name: str) -> int:
    line = next(row for row in _STATUS.read_text().splitlines() if row.startswith(name))
    return int(line.split()[1]) * 1024
