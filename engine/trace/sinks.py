"""Where a run's arrays go as they are made: into memory, or a folder by a thread of its own."""

from __future__ import annotations

import math
import os
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from attentropy.engine.trace import store
from attentropy.engine.trace.schema import ASKED_WINDOWS

# Bytes that wait to be written, unless a run is told to hold less.
QUEUE_BYTES = 256 * 2**20

Place = tuple[int | slice, ...]


@dataclass(frozen=True)
class Field:
    """An array of the trace before it has values: every one of them is `fill`.

    `lengths`: of its chunks on a disk, along the dimensions that are cut; a layer or a site is
    always a chunk of its own, and the other dimensions are whole.
    """

    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    lengths: dict[str, int]
    fill: float | int = -1

    @property
    def nbytes(self) -> int:
        """Bytes of all values."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def chunks(self) -> tuple[int, ...]:
        """Lengths of a chunk along each dimension."""
        return store.chunk_shape(self.dims, self.shape, self.lengths)


class Sink:
    """Takes values from any device, and turns them into the types of their arrays.

    `errors` has the largest difference that a narrower type made, by array.
    """

    def __init__(self) -> None:
        self.fields: dict[str, Field] = {}
        self.errors: dict[str, float] = {}

    def create(self, name: str, field: Field) -> None:
        """Make room for an array; again is no harm, and empties nothing."""
        self.fields[name] = field

    def put(self, name: str, at: Place, values: Tensor | np.ndarray) -> None:
        """Write `values` at `at` of an array; it may happen later, in the order of the calls."""
        raise NotImplementedError

    def then(self, action: Callable[[], None], size: int = 0) -> None:
        """Call `action`, which holds `size` bytes, once all that was put so far is written."""
        raise NotImplementedError

    def flush(self) -> None:
        """Wait until all that was put is written; raises what went wrong with it."""

    def close(self) -> None:
        """Write what was put, unless writing has failed, and take no more. Raises nothing."""

    def _narrowed(self, name: str, values: np.ndarray) -> np.ndarray:
        dtype = self.fields[name].dtype
        narrow = values.astype(dtype)
        if dtype == np.float16:
            with np.errstate(invalid="ignore"):  # inf − inf, where both are the same
                apart = np.abs(narrow.astype(np.float64) - values)
            apart = apart[np.isfinite(values)]
            self.errors[name] = max(self.errors.get(name, 0.0), float(apart.max(initial=0.0)))
        return narrow


class Memory(Sink):
    """Arrays in memory, [name] → values."""

    def __init__(self) -> None:
        super().__init__()
        self.arrays: dict[str, np.ndarray] = {}

    def create(self, name: str, field: Field) -> None:
        if name not in self.fields:
            self.arrays[name] = np.full(field.shape, field.fill, field.dtype)
        super().create(name, field)

    def put(self, name: str, at: Place, values: Tensor | np.ndarray) -> None:
        host = values.cpu().numpy() if isinstance(values, Tensor) else values
        self.arrays[name][at] = self._narrowed(name, host)

    def then(self, action: Callable[[], None], size: int = 0) -> None:
        action()


class Folder(Sink):
    """Arrays of a Zarr folder, written by one thread while at most `limit` bytes wait.

    What goes wrong in the thread is raised by the next call of `put`, `then` or `flush`.
    """

    def __init__(self, folder: Path, limit: int = QUEUE_BYTES) -> None:
        super().__init__()
        self._group = store.opened(folder)
        self._arrays: dict[str, Any] = {}
        self._folder, self._identity = folder, _identity(folder)
        self._limit = limit
        self._tasks: deque[tuple[Callable[[], None], int]] = deque()
        self._waiting = 0  # bytes
        self._busy = False
        self._closed = False
        self._error: BaseException | None = None
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._write, name="attentropy-writer", daemon=True)
        self._thread.start()

    def create(self, name: str, field: Field) -> None:
        if name not in self._arrays:
            self._arrays[name] = store.create(
                self._group, name, field.dims, field.shape, field.dtype, field.chunks, field.fill
            )
        super().create(name, field)

    def put(self, name: str, at: Place, values: Tensor | np.ndarray) -> None:
        host, ready = _fetched(values) if isinstance(values, Tensor) else (values, None)

        def write() -> None:
            if ready is not None:
                ready.synchronize()
            array = host.numpy() if isinstance(host, Tensor) else host
            self._check_place()
            self._arrays[name][at] = self._narrowed(name, array)

        self._add(write, host.nbytes)

    def then(self, action: Callable[[], None], size: int = 0) -> None:
        self._add(action, size)

    def flush(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._error or not (self._tasks or self._busy))
            self._raise()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    def _add(self, task: Callable[[], None], size: int) -> None:
        with self._changed:
            self._changed.wait_for(
                lambda: self._error or not self._waiting or self._waiting + size <= self._limit
            )
            self._raise()
            self._tasks.append((task, size))
            self._waiting += size
            self._changed.notify_all()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _write(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._tasks or self._closed)
                if not self._tasks:
                    return
                task, size = self._tasks.popleft()
                self._busy = True
            try:
                task()
            except BaseException as error:
                with self._changed:
                    self._error = error
                    self._tasks.clear()
                    self._changed.notify_all()
                return
            del task  # and with it the values, before they no longer count
            with self._changed:
                self._busy = False
                self._waiting -= size
                self._changed.notify_all()

    def _check_place(self) -> None:
        """Writing would make anew what somebody has moved or deleted."""
        if _identity(self._folder) != self._identity:
            raise FileNotFoundError(f"{self._folder.name} is no longer there")


def _identity(folder: Path) -> tuple[int, int]:
    found = os.stat(folder)
    return found.st_dev, found.st_ino


def _fetched(values: Tensor) -> tuple[Tensor, torch.cuda.Event | None]:
    """`values` on the host; from a GPU they are there once the event has happened.

    The device goes on meanwhile: the copy is queued after what makes the values, and their memory
    is not given to anything that is not queued behind the copy.
    """
    values = values.detach()
    if values.device.type != "cuda":
        return values.cpu(), None
    with torch.cuda.device(values.device):
        host = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
        host.copy_(values, non_blocking=True)
        done = torch.cuda.Event(blocking=True)  # who waits for it sleeps
        done.record()
    return host, done


# Stored as float16 where that is asked for; a distance and an lse can be too large for it.
NARROW = frozenset(
    ("entropy", "max_prob", "sink_mass", "sink_prob", "varentropy", "map", "window",
     "window_entropy", *(f"window{i}" for i in ASKED_WINDOWS), "lens_entropy",
     "lens_top_logprobs", "lens_kl", "lens_target_logprob", "rehearsal")
)  # fmt: skip


_INTEGERS = frozenset(
    ("top_key", "visible", "lens_top_ids", "lens_rank", "rehearsal_ids", "rehearsal_rank",
     "target_ids")
)  # fmt: skip


def field(
    name: str, dims: tuple[str, ...], shape: tuple[int, ...], step: int, storage: str, tall: int = 1
) -> Field:
    """An array of the trace whose queries and positions are stored by `step`, and the map's tiles,
    each of `tall` queries, likewise."""
    lengths = {"query": step, "position": step, "map_query": max(1, -(-step // tall))}
    if name in _INTEGERS:
        return Field(dims, shape, np.dtype(np.int32), lengths, 0 if name == "visible" else -1)
    narrow = storage == "float16" and name in NARROW
    return Field(dims, shape, np.dtype(np.float16 if narrow else np.float32), lengths, math.nan)
