"""Which keys are hidden from which rows, in which layers: a few numbers, and never a matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Interval:
    """The keys [start, stop), hidden from the rows `first_row` and later: these are positions.

    A row always keeps its own key. layers: (from, to) of the layers that hide them, half open, to
    the last one where `to` is None; None for every layer. Raises `ValueError` for numbers that are
    no interval.
    """

    start: int
    stop: int
    first_row: int
    layers: tuple[int, int | None] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.stop or self.first_row < 0:
            raise ValueError(f"{self} is not an interval of keys and a row")

    def hides_in(self, layer: int) -> bool:
        """Return whether the keys are hidden in a layer."""
        if self.layers is None:
            return True
        first, end = self.layers
        return first <= layer and (end is None or layer < end)


# What one reading of the answer hides: the empty tuple hides nothing.
Variant = tuple[Interval, ...]


def in_layer(variants: Sequence[Variant], layer: int) -> list[Variant]:
    """Return what each variant hides in a layer."""
    return [tuple(i for i in variant if i.hides_in(layer)) for variant in variants]


def is_hidden(variant: Variant, layer: int, rows: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Return whether keys [k] are hidden from rows [r] in a layer, [r, k]: the definition."""
    hidden = np.zeros((len(rows), len(keys)), bool)
    for interval in in_layer([variant], layer)[0]:
        is_inside = (keys >= interval.start) & (keys < interval.stop)
        hidden |= (rows >= interval.first_row)[:, None] & is_inside
    return hidden & (rows[:, None] != keys)
