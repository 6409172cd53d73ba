"""Means of both sides of a difference, by layer and by head, over the positions of both prompts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from attentropy.report.compare.difference import Difference


@dataclass(frozen=True)
class Means:
    """Means over the positions with a value on both sides: of A, of B, and over how many."""

    a: np.ndarray
    b: np.ndarray
    n: np.ndarray

    @property
    def change(self) -> np.ndarray:
        """The difference B − A; NaN where nothing was measured on both sides."""
        change: np.ndarray = self.b - self.a
        return change


def by_layer(difference: Difference, view: str) -> Means:
    """Return the mean entropy of each layer [layer], for a view of `of.sides`."""
    return _means(difference.sides[view], difference.compared)


def _means(sides: np.ndarray, both: np.ndarray) -> Means:
    """Return the means of both sides' values [2, ..., columns]."""
    is_counted = np.isfinite(sides).all(0) & both
    n = is_counted.sum(-1)
    sums = np.where(is_counted, sides, 0).sum(-1, dtype=np.float64)
    a, b = np.where(n > 0, sums / np.maximum(n, 1), np.nan)
    return Means(a, b, n)


def by_head(difference: Difference) -> tuple[Means, Means | None]:
    """Return the mean attention entropy of each head [layer, head].

    The first means are in nats, the second a share of ln(visible); these are None where a side does
    not hold `visible`. One layer is read at a time.
    """
    entropy = (
        [difference.of_side("entropy", side) for side in (0, 1)] if difference.heads_match else []
    )
    counted = all("visible" in trace for trace in difference.traces)
    visible = [difference.of_side("visible", side) for side in (0, 1)] if counted else []
    nats, shares = [], []
    for entry in range(difference.dataset.sizes["layer"]):
        means = difference.sides["attention"][:, entry, None]
        sides = np.stack([one[entry].values for one in entropy]) if entropy else means
        nats.append(_means(sides, difference.compared))
        if visible:
            keys = np.stack([one[entry].values for one in visible])[:, None]
            shares.append(
                _means(sides / np.log(np.where(keys >= 2, keys, np.nan)), difference.compared)
            )
    return _stacked(nats), _stacked(shares) if shares else None


def _stacked(rows: list[Means]) -> Means:
    """Return the means of all layers as one."""
    return Means(*(np.stack([getattr(row, name) for row in rows]) for name in ("a", "b", "n")))
