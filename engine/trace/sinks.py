"""Sinks take a run's values as they are computed: into memory, or into a folder by a thread."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path

import numpy as np

from attentropy.engine.trace import store
from attentropy.engine.trace.host import host_array, start_copy
from attentropy.engine.trace.layout import ArrayLayout
from attentropy.engine.trace.types import Array, ArraysByName, Place, Values
from attentropy.engine.trace.whole_chunks import ChunkWriter

# Bytes that may wait to be written, unless a run has a smaller memory budget.
QUEUE_BYTES = 256 * 2**20


class Sink:
    """Takes values from any device and converts them to the types of their arrays.

    `errors` has the largest rounding error that a narrower type caused, by array.
    """

    def __init__(self) -> None:
        self.fields: dict[str, ArrayLayout] = {}
        self.errors: dict[str, float] = {}

    def create(self, name: str, field: ArrayLayout) -> None:
        """Create an array; an array that exists already keeps its values."""
        self.fields[name] = field

    def put(self, name: str, at: Place, values: Values) -> None:
        """Write `values` at `at` of an array, now or later, in the order of the calls."""
        raise NotImplementedError

    def then(self, action: Callable[[], None], size: int = 0) -> None:
        """Call `action`, which holds `size` bytes, after all values put so far are written."""
        raise NotImplementedError

    def flush(self) -> None:
        """Wait until all values put so far are written; raise the error if writing failed."""

    def close(self) -> None:
        """Write what is queued, unless writing has failed, and accept no more; raise nothing."""

    def _narrow(self, name: str, values: Array) -> Array:
        """Return `values` in the type of the array `name`, and update `errors`."""
        dtype = self.fields[name].dtype
        narrow = values.astype(dtype)
        if dtype == np.float16:
            is_finite = np.isfinite(values)
            if is_finite.any():  # what has no value has no rounding error, not even 0
                errors = np.abs(narrow[is_finite].astype(np.float64) - values[is_finite])
                self.errors[name] = max(self.errors.get(name, 0.0), float(errors.max()))
        return narrow


class MemorySink(Sink):
    """Arrays in memory: `arrays` has their values by name.

    tokens: how many queries and positions there is room for at first, None for all; the arrays grow
    to their full shape as values come.
    """

    def __init__(self, tokens: int | None = None) -> None:
        super().__init__()
        self.arrays: ArraysByName = {}
        self._tokens = tokens

    def create(self, name: str, field: ArrayLayout) -> None:
        if name not in self.fields:
            self.arrays[name] = np.full(field.of_tokens(self._tokens), field.fill, field.dtype)
        super().create(name, field)

    def put(self, name: str, at: Place, values: Values) -> None:
        array, field = self.arrays[name], self.fields[name]
        end = max((one.stop for one in at if isinstance(one, slice)), default=0)
        for axis, place in enumerate(at):
            if isinstance(place, slice) and place.stop > array.shape[axis] < field.shape[axis]:
                array = self.arrays[name] = self._grown(name, max(end, 2 * array.shape[axis]))
        array[at] = self._narrow(name, host_array(values))

    def shorten(self, tokens: int) -> None:
        """Cut the arrays after `tokens` queries or positions."""
        for name, field in self.fields.items():
            array, shape = self.arrays[name], field.of_tokens(tokens)
            if array.shape != shape:
                array = (
                    array if all(map(int.__ge__, array.shape, shape)) else self._grown(name, tokens)
                )
                self.arrays[name] = array[tuple(map(slice, shape))].copy()

    def _grown(self, name: str, tokens: int) -> Array:
        """Return a copy of an array that has room for `tokens` queries or positions."""
        field, before = self.fields[name], self.arrays[name]
        array = np.full(field.of_tokens(tokens), field.fill, field.dtype)
        array[tuple(map(slice, before.shape))] = before
        return array

    def then(self, action: Callable[[], None], size: int = 0) -> None:
        action()


class FolderSink(Sink):
    """Arrays of a Zarr folder, written by one thread; at most `limit` bytes wait for it.

    An error in the thread is raised by the next call of `put`, `then` or `flush`.
    """

    def __init__(self, folder: Path, limit: int = QUEUE_BYTES) -> None:
        super().__init__()
        self._group = store.open_group(folder)
        self._writers: dict[str, ChunkWriter] = {}
        self._folder, self._identity = folder, _identity(folder)
        self._limit = limit
        self._tasks: deque[tuple[Callable[[], None], int]] = deque()
        self._waiting_bytes = 0
        self._is_writing = False
        self._is_closed = False
        self._error: BaseException | None = None
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._write, name="attentropy-writer", daemon=True)
        self._thread.start()

    def create(self, name: str, field: ArrayLayout) -> None:
        if name not in self._writers:
            array = store.create_array(
                self._group, name, field.dims, field.shape, field.dtype, field.chunks, field.fill
            )
            self._writers[name] = ChunkWriter(array, self._folder / name)
        super().create(name, field)

    def put(self, name: str, at: Place, values: Values) -> None:
        copy = start_copy(values)

        def write() -> None:
            array = copy.array()
            self._check_folder()
            self._writers[name].write(at, self._narrow(name, array))

        self._add(write, copy.nbytes)

    def then(self, action: Callable[[], None], size: int = 0) -> None:
        self._add(action, size)

    def flush(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._error or not (self._tasks or self._is_writing))
            self._raise_error()

    def close(self) -> None:
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self._thread.join()

    def _add(self, task: Callable[[], None], size: int) -> None:
        """Queue a task that holds `size` bytes, once there is room; one task always has room."""
        with self._changed:
            self._changed.wait_for(
                lambda: (
                    self._error
                    or not self._waiting_bytes
                    or self._waiting_bytes + size <= self._limit
                )
            )
            self._raise_error()
            self._tasks.append((task, size))
            self._waiting_bytes += size
            self._changed.notify_all()

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    def _write(self) -> None:
        """Run the queued tasks until the sink is closed or a task fails; the thread's work."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._tasks or self._is_closed)
                if not self._tasks:
                    return
                task, size = self._tasks.popleft()
                self._is_writing = True
            try:
                task()
            except BaseException as error:  # whatever it is, the next call raises it
                with self._changed:
                    self._error = error
                    self._tasks.clear()
                    self._changed.notify_all()
                return
            del task  # and with it its values, before their bytes stop counting
            with self._changed:
                self._is_writing = False
                self._waiting_bytes -= size
                self._changed.notify_all()

    def _check_folder(self) -> None:
        """Raise `FileNotFoundError` where the folder was moved or deleted.

        Writing would create it again.
        """
        if _identity(self._folder) != self._identity:
            raise FileNotFoundError(f"{self._folder.name} no longer exists")


def _identity(folder: Path) -> tuple[int, int]:
    """Return the device and inode number of a folder."""
    status = os.stat(folder)
    return status.st_dev, status.st_ino
