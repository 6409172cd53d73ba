"""A gauge divides a pass into named parts: each moment belongs to the innermost open part.

The code that is measured tells a gauge when a part begins and ends. Every interval between two such
moments belongs to one part, so the parts add up to the pass, however they are nested.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

# (layer, part); layer None: outside the layers; several: a part of all of them alike.
Layer = int | tuple[int, ...] | None
Key = tuple[Layer, str]


class Gauge:
    """Tracks the open parts and measures nothing; a subclass measures at each `_mark`."""

    def __init__(self) -> None:
        self._open: list[Key] = []

    def enter(self, part: str, layer: Layer = None) -> None:
        """Begin a part of `layer`, or of the layer that is open; several layers share a part."""
        if layer is None and self._open:
            layer = self._open[-1][0]
        self._mark()
        self._open.append((layer, part))
        self._opened()

    def leave(self) -> None:
        """End the part that began last."""
        self._mark()
        self._open.pop()

    @contextmanager
    def within(self, part: str, layer: Layer = None) -> Iterator[None]:
        """Keep a part open inside a `with` block."""
        self.enter(part, layer)
        try:
            yield
        finally:
            self.leave()

    def _mark(self) -> None:
        """Measure; called whenever a part begins or ends."""

    def _opened(self) -> None:
        """React to a part that has just begun."""

    def wait(self) -> None:
        """Return once the device has finished its work."""

    def read(self) -> dict[Key, float]:
        """Return what was measured since the last reading, by (layer, part)."""
        return {}
