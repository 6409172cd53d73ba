"""Values that the page of a difference holds of A and of B besides B − A."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from attentropy.report.compare.difference import Difference
from attentropy.report.pack.encode import PackedArrays, pack
from attentropy.report.read.positions import Range


class Sides(Protocol):
    """Packed values of the two sides; of a single trace there are none."""

    def kinds(self) -> PackedArrays:
        """Return which side each column belongs to, [columns]."""
        ...

    def of_columns(self, at: np.ndarray, bits: int | None) -> PackedArrays:
        """Return both sides of the subtraction at columns `at`, [2, layer, columns] per view."""
        ...

    def of_heads(self, ranges: Sequence[Range], bits: int | None) -> PackedArrays:
        """Return both sides of single heads, [2, layer, head, columns], and B's top keys."""
        ...


class NoSides:
    """The sides of a single trace: there is nothing to pack."""

    def kinds(self) -> PackedArrays:
        """Return nothing."""
        return {}

    def of_columns(self, at: np.ndarray, bits: int | None) -> PackedArrays:
        """Return nothing."""
        return {}

    def of_heads(self, ranges: Sequence[Range], bits: int | None) -> PackedArrays:
        """Return nothing."""
        return {}


class BothSides:
    """The sides A and B of a difference."""

    def __init__(self, difference: Difference) -> None:
        self._difference = difference

    def kinds(self) -> PackedArrays:
        """Return which side each column belongs to, [columns]."""
        return {"kind": pack(self._difference.kind)}

    def of_columns(self, at: np.ndarray, bits: int | None) -> PackedArrays:
        """Return both sides of the subtraction at columns `at`, [2, layer, columns] per view."""
        sides = self._difference.sides
        return {f"{view}Sides": pack(values[..., at], bits) for view, values in sides.items()}

    def of_heads(self, ranges: Sequence[Range], bits: int | None) -> PackedArrays:
        """Return both sides of single heads, [2, layer, head, columns], and B's top keys."""
        if not self._difference.heads_match:
            return {}
        entropies = [self._spans("entropy", side, ranges) for side in (0, 1)]
        packed = {"headsSides": pack(np.stack(entropies), bits)}
        if "top_key" in self._difference:
            packed["topKeyB"] = pack(self._spans("top_key", 1, ranges))
        return packed

    def _spans(self, name: str, side: int, ranges: Sequence[Range]) -> np.ndarray:
        """Return one side's variable at the columns of `ranges`."""
        variable = self._difference.of_side(name, side)
        return np.concatenate([variable[..., start:stop].values for start, stop in ranges], -1)
