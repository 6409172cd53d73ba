"""Copies: earlier words of the answer that restate a word of the prompt.

An answer that repeats a word of the question reads its own copy from then on, so that hiding the
word of the question alone changes little.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from attentropy.engine.sources.hiding import Interval, Variant
from attentropy.engine.sources.layout import ASKS, TEMPLATE, Layout, runs, token_roles
from attentropy.engine.sources.words import AnswerWord
from attentropy.engine.trace.content_words import content_keys

Layers = tuple[int, int | None] | None  # as an interval takes them


class Hiding:
    """What is hidden where a span is: its own keys, and those of its copies in the answer.

    sinks: tokens that stay visible.
    """

    def __init__(
        self, layout: Layout, words: Sequence[AnswerWord], sinks: Collection[int] = ()
    ) -> None:
        self._prompt = layout.prompt_tokens
        keys = content_keys(layout.tokens, layout.roles)
        roles = token_roles(layout)
        self._keys = [
            key if role != TEMPLATE else "" for key, role in zip(keys, roles, strict=False)
        ]
        self._asks = frozenset(i for i, role in enumerate(roles) if role == ASKS)
        self._question_keys = self.keys(sorted(self._asks))
        self._words, self._sinks = words, frozenset(sinks)

    def keys(self, tokens: Sequence[int]) -> set[str]:
        """Return the content words that tokens of the prompt belong to."""
        return {self._keys[i] for i in tokens} - {""}

    def direct(self, tokens: Sequence[int], layers: Layers = None) -> Variant:
        """Return the variant that hides tokens of the prompt from the rows of the answer."""
        own = [i for i in tokens if i not in self._sinks]
        return tuple(Interval(a, b, self._prompt - 1, layers) for a, b in runs(own))

    def copies(self, tokens: Sequence[int], layers: Layers = None) -> Variant:
        """Return the variant that hides the copies of these tokens from the rows after each copy.

        A word of the question that the answer repeats is a copy of the question, and of no passage.
        """
        own = {i for i in tokens if i not in self._sinks}
        hidden = self.keys(sorted(own & self._asks)) | (
            self.keys(sorted(own - self._asks)) - self._question_keys
        )
        places = [
            (self._prompt + word.start, self._prompt + word.stop)
            for word in self._words
            if word.key in hidden
        ]
        return tuple(Interval(a, b, b, layers) for a, b in places)

    def with_copies(self, tokens: Sequence[int], layers: Layers = None) -> Variant:
        """Return the variant that hides tokens together with their copies."""
        return self.direct(tokens, layers) + self.copies(tokens, layers)


def widest(values: np.ndarray, count: int) -> list[int]:
    """Return the indices of the `count` largest of values, the largest first; NaN is none."""
    order = np.argsort(-np.nan_to_num(values, nan=-np.inf), kind="stable")
    return [int(i) for i in order[:count] if np.isfinite(values[i])]
