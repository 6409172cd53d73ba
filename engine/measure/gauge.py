"""Parts of a pass by name: whatever is innermost at a moment has it.

A gauge is told when a part begins and ends. Every interval between two such moments belongs to one
part, so the parts of a pass are all of it, however they are nested.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

# (layer, part); layer None is outside of the layers.
Key = tuple[int | None, str]


class Gauge:
    """Holds what is open, and measures nothing: a subclass does at each `_mark`."""

    def __init__(self) -> None:
        self._open: list[Key] = []

    def enter(self, part: str, layer: int | None = None) -> None:
        """`part` begins: of `layer`, or of the layer that is open."""
        if layer is None and self._open:
            layer = self._open[-1][0]
        self._mark()
        self._open.append((layer, part))
        self._opened()

    def leave(self) -> None:
        """What began last ends."""
        self._mark()
        self._open.pop()

    @contextmanager
    def within(self, part: str, layer: int | None = None) -> Iterator[None]:
        """`part` is open inside."""
        self.enter(part, layer)
        try:
            yield
        finally:
            self.leave()

    def _mark(self) -> None:
        """As a part begins or ends."""

    def _opened(self) -> None:
        """After a part began."""

    def wait(self) -> None:
        """Return once the device has done what it was given."""

    def read(self) -> dict[Key, float]:
        """What was measured since the last reading, by (layer, part)."""
        return {}
