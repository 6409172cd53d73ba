"""What the tests need of a reader, and the readings that a budget pays for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from attentropy.engine.sources.cost import Speed
from attentropy.engine.sources.hiding import Variant
from attentropy.engine.trace.types import Array


class BudgetTooSmall(Exception):
    """The budget does not pay for a test of every span, and nothing less is wanted."""


class Reads(Protocol):
    """Reads an answer, teacher-forced, with keys hidden from it; see `reader.HiddenReader`."""

    steps: int
    prompt_tokens: int

    def direct(self, variants: Sequence[Variant]) -> Array:
        """Return ln p of each token of the answer, float64 [variant, step]."""

    def total(self, spans: Sequence[tuple[int, int]]) -> Array:
        """Return the same with each span hidden from all later rows, [span, step]."""

    def remove(self, spans: Sequence[tuple[int, int]]) -> Array:
        """Return the same with each span taken out of the prompt, [span, step]."""

    @property
    def unhidden(self) -> tuple[Array, Array | None]:
        """Ln p of each token with nothing hidden, [step], and the weights of the prompt's tokens.

        These are from the answer's rows, [layer, prompt token]; None where they are not known.
        """


class Readings:
    """Effects of hiding: ln p with something hidden, less ln p with nothing hidden.

    logprob: of each step, nothing hidden. noise: the largest difference between two readings that
    hide nothing. `tests` counts the readings, `spent` their predicted seconds; what the budget does
    not pay for is NaN, and counts in `missed`.
    """

    def __init__(self, reader: Reads, speed: Speed, budget: float | None = None) -> None:
        self._reader, self._speed, self._budget = reader, speed, budget
        self.steps, self.prompt_tokens = reader.steps, reader.prompt_tokens
        self.tests, self.missed, self.spent = 0, 0, 0.0
        self.noise = 0.0
        self.logprob: Array
        self.logprob, self._weights = reader.unhidden
        self.spent += speed.direct(1)

    def direct(self, variants: Sequence[Variant]) -> Array:
        """Return the effect of each variant on each step, [variant, step].

        Hiding nothing is a variant of the same batch.
        """
        count = self._affordable([self._speed.direct(i + 2) for i in range(len(variants))])
        effects = np.full((len(variants), self.steps), np.nan)
        if count:
            logprobs = self._reader.direct([(), *variants[:count]])
            self._hear(logprobs[0])
            effects[:count] = logprobs[1:] - logprobs[0]
        return effects

    def total(self, spans: Sequence[tuple[int, int]]) -> Array:
        """Return the effect of hiding each span from all later rows, [span, step]."""
        costs = np.cumsum([self._speed.total(stop) for _, stop in spans])
        count = self._affordable(self._speed.start + costs)
        effects = np.full((len(spans), self.steps), np.nan)
        if count:
            first = min(stop for _, stop in spans[:count])
            logprobs = self._reader.total([(first, first), *spans[:count]])
            self._hear(logprobs[0])
            effects[:count] = logprobs[1:] - logprobs[0]
        return effects

    def remove(self, spans: Sequence[tuple[int, int]]) -> Array:
        """Return the effect of taking each span out of the prompt, [span, step]."""
        starts = self._speed.start * np.arange(1, len(spans) + 1)
        costs = np.cumsum([self._speed.total(start) for start, _ in spans])
        count = self._affordable(starts + costs)
        effects = np.full((len(spans), self.steps), np.nan)
        if count:
            effects[:count] = self._reader.remove(spans[:count]) - self.logprob
        return effects

    def attention(self) -> Array:
        """Return the mean weight of each prompt token over layers, NaN where it is not known."""
        weights = self._weights
        if weights is None:
            return np.full(self.prompt_tokens, np.nan)
        with np.errstate(invalid="ignore"):
            present = np.isfinite(weights).sum(0)
            return np.asarray(np.nansum(weights, 0) / np.where(present, present, np.nan))

    def affords(self, count: int) -> bool:
        """Return whether the budget pays for one batch of so many variants."""
        return self._speed.direct(count + 1) <= self._room

    @property
    def _room(self) -> float:
        """The seconds that are left."""
        return np.inf if self._budget is None else self._budget - self.spent

    def _hear(self, unhidden: Array) -> None:
        """Compare a reading that hides nothing with the first one."""
        self.noise = max(self.noise, float(np.abs(unhidden - self.logprob).max(initial=0.0)))

    def _affordable(self, costs: Sequence[float] | Array) -> int:
        """Return how many tests the budget pays for, in order, and pay for them.

        costs: of the first test, of the first two, and so on.
        """
        count = int(np.searchsorted(costs, self._room, side="right"))
        self.tests += count
        self.missed += len(costs) - count
        self.spent += float(costs[count - 1]) if count else 0.0
        return count
