"""Gauges of time and memory for the parts of a pass."""

from __future__ import annotations

import ctypes
import resource
import time
from pathlib import Path
from typing import Any

import torch

from attentropy.engine.measure.gauge import Gauge, Key, Layer

_STATUS = Path("/proc/self/status")


class Seconds(Gauge):
    """Time per part: between events in a GPU's stream, or by a CPU's performance counter.

    What several layers share is divided among them alike.

    Only `wait` waits for the device, so that measuring never leaves it without work.
    """

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self._on_gpu = device.type == "cuda"
        self._marks: list[tuple[Any, Key | None]] = []  # a time stamp, and what ran until then
        self._spare: list[Any] = []

    @property
    def clock(self) -> str:
        """The clock's name."""
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
        """Return the seconds of each part since the last reading; call `wait` before."""
        seconds: dict[Key, float] = {}
        for (start, _), (stop, key) in zip(self._marks, self._marks[1:], strict=False):
            if key is not None:
                interval = start.elapsed_time(stop) / 1e3 if self._on_gpu else stop - start
                for own in _of_each(key):
                    share = interval / len(_of_each(key))
                    seconds[own] = seconds.get(own, 0.0) + share
        if self._on_gpu:
            self._spare += [stamp for stamp, _ in self._marks]
        self._marks.clear()
        return seconds


class Bytes(Gauge):
    """Peak memory per part, in addition to what was in use when the part's layer began.

    On a GPU this is what PyTorch has allocated; on a CPU the resident size of the process, which
    returns freed memory to the system at each mark. Reading the counters takes time, so no pass is
    measured by both gauges.
    """

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self._device = device.type
        self._peaks: dict[Key, float] = {}
        self._bases: dict[Layer, int] = {}

    @property
    def counter(self) -> str | None:
        """The memory counter's name; None where this system has no counter."""
        if self._device == "cuda":
            return "torch.cuda.max_memory_allocated"
        return "resident size of the process" if _STATUS.exists() else None

    def _mark(self) -> None:
        if self.counter is None:
            return
        if self._open:
            key = self._open[-1]
            peak = peak_bytes(self._device) - self._bases[key[0]]
            for own in _of_each(key):
                self._peaks[own] = max(self._peaks.get(own, 0.0), float(peak))
        _reset(self._device)

    def _opened(self) -> None:
        layer = self._open[-1][0]
        if len(self._open) == 1 or self._open[-2][0] != layer:
            self._bases[layer] = _bytes_in_use(self._device) if self.counter is not None else 0

    def read(self) -> dict[Key, float]:
        """Return the peak bytes of each part since the last reading."""
        peaks, self._peaks = self._peaks, {}
        return peaks


def _of_each(key: Key) -> list[Key]:
    """Return the keys of all layers that share a part."""
    layer, part = key
    if not isinstance(layer, tuple):
        return [key]
    return [(one, part) for one in layer] or [(None, part)]


def peak_bytes(device: str, *, reset: bool = False) -> int:
    """Return the peak of memory in use since the last reset, in bytes, on "cuda" or "cpu".

    reset: reset the peak first. Memory that only the garbage collector frees still counts: call it
    before, where that matters.
    """
    if reset:
        if device == "cuda":
            torch.cuda.synchronize()
        _reset(device)
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    if not _STATUS.exists():  # not Linux: the peak so far, which cannot be reset
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return _resident("VmHWM")


def _reset(device: str) -> None:
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    elif _STATUS.exists():
        # Freed memory is returned first: what was in use before would hide what is used next.
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's
        if trim is not None:
            trim(0)
        Path("/proc/self/clear_refs").write_text("5")


def _bytes_in_use(device: str) -> int:
    return torch.cuda.memory_allocated() if device == "cuda" else _resident("VmRSS")


def _resident(name: str) -> int:
    line = next(row for row in _STATUS.read_text().splitlines() if row.startswith(name))
    return int(line.split()[1]) * 1024
