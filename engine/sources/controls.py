"""Controls: what hiding a passage of the same length by chance does to a word.

Draws are seeded and shared by all spans of a length. They come from the message of the span or from
the system message, and overlap neither the span nor another one that has an effect.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from attentropy.engine.sources.layout import INSTRUCTION, Layout, regions
from attentropy.engine.sources.spans import Span
from attentropy.engine.trace.types import Array

DRAWS = 20
TOTAL_DRAWS = 5
LEAST_DRAWS = 5  # fewer are no control
PERCENTILES = (5, 95)


@dataclass(frozen=True)
class Control:
    """The 5th and 95th percentile of the draws' effects on each word, and how many draws."""

    low: Array
    high: Array
    draws: int


def no_control(words: int) -> Control:
    """Return what a span without control has: NaN, and no draws."""
    return Control(np.full(words, np.nan), np.full(words, np.nan), 0)


def interval(effects: Array) -> Control:
    """Return the control of the effects of draws, [draw, word]; NaN rows were not tested."""
    effects = effects[np.isfinite(effects).all(-1)]
    if len(effects) < LEAST_DRAWS:
        return no_control(effects.shape[-1])
    low, high = np.percentile(effects, PERCENTILES, axis=0, method="linear")
    return Control(low, high, len(effects))


class Controls:
    """Draws the passages of a prompt that controls are made of.

    strong: spans with an effect below −ln 2, which no draw overlaps; sinks: tokens that no draw
    has; singles: single tokens that were tested, which are drawn before others.
    """

    def __init__(
        self, layout: Layout, strong: Sequence[Span], sinks: Collection[int],
        singles: Collection[int] = (), *, seed: int = 0, draws: int = DRAWS,
    ) -> None:  # fmt: skip
        self._layout, self._strong, self._sinks = layout, strong, frozenset(sinks)
        self._singles = frozenset(singles)
        self._seed, self._draws = seed, draws
        self._regions = regions(layout)
        self._shared: dict[tuple[int, int], list[tuple[int, int]]] = {}

    def draws_for(self, span: Span, count: int | None = None) -> list[tuple[int, int]]:
        """Return the draws [start, stop) of a span: at most `count`, seeded, in no order of place.

        All spans of a length and a message share them. Those that overlap the span itself are left
        out.
        """
        length = span.stop - span.start
        key = (length, span.message)
        if key not in self._shared:
            self._shared[key] = self._draw(length, span.message)
        own = [(a, b) for a, b in self._shared[key] if b <= span.start or span.stop <= a]
        return own[: self._draws if count is None else count]

    def _draw(self, length: int, message: int) -> list[tuple[int, int]]:
        """Return all possible draws in a seeded order."""
        barred = self._sinks | {i for span in self._strong for i in range(span.start, span.stop)}
        # How many tokens before each place may not be in a draw.
        before = np.zeros(self._layout.prompt_tokens + 1, np.int64)
        before[[i + 1 for i in barred]] = 1
        before = before.cumsum()
        windows = [
            (start, start + length)
            for first, stop in self._ranges(message)
            for start in range(first, stop - length + 1)
            if before[start + length] == before[start]
            and self._layout.text(start, start + length).strip()
        ]
        order = np.random.default_rng([self._seed, length, message + 1]).permutation(len(windows))
        drawn = [windows[i] for i in order]
        return drawn if length > 1 else sorted(drawn, key=lambda own: own[0] not in self._singles)

    def _ranges(self, message: int) -> list[tuple[int, int]]:
        """Return the runs of tokens of the message and of the system message, [start, stop)."""
        ranges: list[list[int]] = []
        for region in self._regions:
            is_system = region.role == INSTRUCTION and region.message != message
            if region.message != message and not is_system:
                continue
            if ranges and ranges[-1][1] == region.start and not is_system:
                ranges[-1][1] = region.stop
            else:
                ranges.append([region.start, region.stop])
        return [(a, b) for a, b in ranges]
