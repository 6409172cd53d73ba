"""The lines of a benchmark's charts: a colour and a label per rival, labels that do not overlap."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from attentropy.engine.bench.results import Results, Row

# The colours of ours, and of the others in their order, on a light and on a dark page.
_OURS = (("#7b3294", "#c390d8"), ("#b0379b", "#e486d2"), ("#7a68b8", "#a99be0"))
_OTHERS = (
    ("#4d5666", "#aeb6c4"), ("#b2182b", "#f4796b"), ("#0f7f8a", "#4cc4cf"), ("#b8650a", "#f0a04b"),
    ("#1b7837", "#5fbf7a"), ("#2c5fb3", "#7fb0ff"), ("#7a5c14", "#d3b35a"), ("#8a3b12", "#e0926a"),
    ("#5b7a00", "#b3cf5a"), ("#8a8f99", "#788090"),
)  # fmt: skip
_SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down")
LABEL_HEIGHT = 13.0  # pixels between two labels


@dataclass(frozen=True)
class Series:
    """A rival's line: its colours on a light and on a dark page, and the shape of its points."""

    rival: str
    light: str
    dark: str
    shape: str


def series_of(rows: Sequence[Row]) -> list[Series]:
    """Return one line per rival, in the order of the rows; ours share a hue."""
    groups = {row.rival: row.group for row in rows}
    ours = [rival for rival, group in groups.items() if group == "ours"]
    others = [rival for rival in groups if rival not in ours]
    series = []
    for rival in groups:
        own, colours = (ours, _OURS) if rival in ours else (others, _OTHERS)
        number = own.index(rival)
        shape = _SHAPES[(number + number // len(colours)) % len(_SHAPES)]
        series.append(Series(rival, *colours[number % len(colours)], shape))
    return series


def baseline(results: Results, cases: Sequence[int]) -> str:
    """Return the rival whose time is 1: the fastest one without entropy at the largest size.

    Without any it is ours.
    """
    for case in reversed(cases):
        timed = [row for row in results.of(case) if row.seconds and row.group == "ceiling"]
        if timed and any(row.rival == results.ours and row.seconds for row in results.of(case)):
            return min(timed, key=lambda row: row.seconds[1]).rival
    return results.ours


@dataclass(frozen=True)
class Axis:
    """A vertical axis from `low` to `high` over `pixels`; logarithmic if values lie far apart."""

    low: float
    high: float
    pixels: float
    is_log: bool = False

    def pixel(self, value: float) -> float:
        """Return the distance of a value from the top."""
        low, high, value = (
            (math.log(v) for v in (self.low, self.high, value))
            if self.is_log
            else (self.low, self.high, value)
        )
        return self.pixels * (1 - (value - low) / (high - low))

    def value(self, pixel: float) -> float:
        """Return the value at a distance from the top."""
        share = 1 - pixel / self.pixels
        if self.is_log:
            return self.low * math.exp(share * math.log(self.high / self.low))
        return self.low + share * (self.high - self.low)

    @property
    def ticks(self) -> list[float]:
        """The powers of two between the ends of a logarithmic axis."""
        first, last = (math.log2(end) for end in (self.low, self.high))
        return [2.0**power for power in range(math.ceil(first), math.floor(last) + 1)]


_FAR_APART = 8.0  # the largest ratio that a linear axis shows well


def ratio_axis(values: Sequence[float], pixels: float) -> Axis:
    """Return the axis of ratios: from 0 if they are near 1, else logarithmic."""
    highest = max(values, default=1.0)
    if highest <= _FAR_APART:
        return Axis(0.0, max(1.0, highest) * 1.08, pixels)
    low = min(0.5, min(value for value in values if value > 0) / 1.1)
    return Axis(low, highest * 1.15, pixels, is_log=True)


def rate_axis(values: Sequence[float], pixels: float) -> Axis:
    """Return the axis of rates, from 0."""
    return Axis(0.0, max(values, default=1.0) * 1.08 or 1.0, pixels)


def spread_places(places: Sequence[float], least: float, end: float) -> list[float]:
    """Return the places (pixels) moved as little as needed to be `least` apart, up to `end`."""
    order = sorted(range(len(places)), key=lambda i: places[i])
    moved = list(places)
    for before, i in pairwise(order):
        moved[i] = max(moved[i], moved[before] + least)
    limit = end
    for i in reversed(order):
        moved[i] = min(moved[i], limit)
        limit = moved[i] - least
    return moved
