"""Keep in memory the arrays of a sequence whose length is not known beforehand."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np
from torch import Tensor

from attentropy.engine.trace.layout import ArrayLayout
from attentropy.engine.trace.sinks import Sink
from attentropy.engine.trace.types import Place


class Growing(Sink):
    """The parts of each array as they came, by entry, until `array` puts them together."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: dict[str, dict[int, list[tuple[Place, np.ndarray]]]] = defaultdict(
            lambda: defaultdict(list)
        )

    def put(self, name: str, at: Place, values: Tensor | np.ndarray) -> None:
        """Keep `values`, whose place begins with the entry; see `Sink.put`."""
        entry, *rest = at
        assert isinstance(entry, int)
        host = values.cpu().numpy() if isinstance(values, Tensor) else values
        self._parts[name][entry].append((tuple(rest), host))

    def then(self, action: Callable[[], None], size: int = 0) -> None:
        """Call `action` at once: everything is in memory."""
        action()

    @property
    def names(self) -> list[str]:
        """The arrays that have values, sorted."""
        return sorted(self._parts)

    def parts(self, name: str, entry: int) -> list[np.ndarray]:
        """Return the parts of one entry's array in the order in which they came."""
        return [values for _, values in self._parts[name][entry]] if name in self._parts else []

    def rows(self, name: str) -> int:
        """Return the number of rows of the longest entry, along the array's second last place."""
        ends = [
            place[-1].stop
            for parts in self._parts.get(name, {}).values()
            for place, _ in parts
            if isinstance(place[-1], slice)
        ]
        return max(ends, default=0)

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the sizes that hold every part of an array, entries aside."""
        parts = [part for parts in self._parts[name].values() for part in parts]
        ends = [
            (
                *(end.stop for end in place if isinstance(end, slice)),
                *values.shape[len(place) :],
            )
            for place, values in parts
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
            for place, part in self._parts[name].get(entry, ()):
                rest = (slice(0, size) for size in part.shape[len(place) :])
                values[(i, *place, *rest)] = part
        return values
