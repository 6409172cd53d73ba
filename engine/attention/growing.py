"""Keep in memory the arrays of a sequence whose length is not known beforehand."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np
from torch import Tensor

from attentropy.engine.trace.layout import ArrayLayout
from attentropy.engine.trace.sinks import Sink
from attentropy.engine.trace.types import Place

# Rows in a run: a buffer that fills is copied, and a long prompt's values are not copied at all.
_RUN = 4096
_FIRST_RUN = 64


class _Run:
    """Values that came for consecutive rows, along the last axis of `place`.

    Generated tokens come one by one: as arrays of their own they would take ten times the memory.
    """

    def __init__(self, place: Place, values: np.ndarray) -> None:
        self.place = place
        self._buffer = values
        self._is_own = False  # the first values are the caller's
        self._axis = len(place) - 1
        self._size = values.shape[self._axis]

    @property
    def values(self) -> np.ndarray:
        """The values so far."""
        return self._buffer[self._rows(0, self._size)]

    def take(self, place: Place, values: np.ndarray) -> bool:
        """Add values where they are of the rows that follow; return whether they are."""
        *others, own = self.place
        *same, new = place
        if same != others or not isinstance(own, slice) or not isinstance(new, slice):
            return False
        axis, size = self._axis, self._size + values.shape[self._axis]
        if new.start != own.stop or size > _RUN or values.dtype != self._buffer.dtype:
            return False
        if values.shape[axis + 1 :] != self._buffer.shape[axis + 1 :]:
            return False
        if not self._is_own or size > self._buffer.shape[axis]:
            self._grow(size)
        self._buffer[self._rows(self._size, size)] = values
        self._size = size
        self.place = (*others, slice(own.start, new.stop))
        return True

    def _grow(self, size: int) -> None:
        shape = list(self._buffer.shape)
        shape[self._axis] = min(_RUN, max(_FIRST_RUN, 2 * size))
        larger = np.empty(shape, self._buffer.dtype)
        larger[self._rows(0, self._size)] = self.values
        self._buffer, self._is_own = larger, True

    def _rows(self, start: int, stop: int) -> tuple[slice, ...]:
        return (*[slice(None)] * self._axis, slice(start, stop))


class Growing(Sink):
    """The runs of each array's values as they came, by entry, until `array` puts them together."""

    def __init__(self) -> None:
        super().__init__()
        self._runs: dict[str, dict[int, list[_Run]]] = defaultdict(lambda: defaultdict(list))

    def put(self, name: str, at: Place, values: Tensor | np.ndarray) -> None:
        """Keep `values`, whose place begins with the entry; see `Sink.put`."""
        entry, *rest = at
        assert isinstance(entry, int)
        host = values.cpu().numpy() if isinstance(values, Tensor) else values
        runs, place = self._runs[name][entry], tuple(rest)
        if not (runs and runs[-1].take(place, host)):
            runs.append(_Run(place, host))

    def then(self, action: Callable[[], None], size: int = 0) -> None:
        """Call `action` at once: everything is in memory."""
        action()

    @property
    def names(self) -> list[str]:
        """The arrays that have values, sorted."""
        return sorted(self._runs)

    def parts(self, name: str, entry: int) -> list[np.ndarray]:
        """Return one entry's array in parts, those of consecutive rows joined, as they came."""
        return [run.values for run in self._runs[name][entry]] if name in self._runs else []

    def rows(self, name: str) -> int:
        """Return the number of rows of the longest entry, along the array's second last place."""
        ends = [
            run.place[-1].stop
            for runs in self._runs.get(name, {}).values()
            for run in runs
            if isinstance(run.place[-1], slice)
        ]
        return max(ends, default=0)

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the sizes that hold every part of an array, entries aside."""
        ends = [
            (
                *(end.stop for end in run.place if isinstance(end, slice)),
                *run.values.shape[len(run.place) :],
            )
            for runs in self._runs[name].values()
            for run in runs
        ]
        return tuple(max(sizes) for sizes in zip(*ends, strict=True))

    def array(self, name: str, field: ArrayLayout, order: Sequence[int | None]) -> np.ndarray:
        """Return an array as `field` describes it, the entry `order[i]` at i.

        None stands for an entry without values, which are the field's `fill`.
        """
        values = np.full(field.shape, field.fill, field.dtype)
        for i, entry in enumerate(order):
            if entry is None:
                continue
            for run in self._runs[name].get(entry, ()):
                rest = (slice(0, size) for size in run.values.shape[len(run.place) :])
                values[(i, *run.place, *rest)] = run.values
        return values
