"""Follow one attention call through the passes over a batch: its rows, and each sequence's end."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from torch import nn

from attentropy.engine.attention.visibility import Visibility
from attentropy.engine.errors import AttentropyError


@dataclass
class Call:
    """One attention call of one layer, its rows in the order in which they were computed.

    `rows` counts the queries so far, the batch's padding among them. Sequence b's tokens are the
    rows from `start[b]` to before `stop[b]`.
    """

    layer: int
    index: int
    module: nn.Module = field(default_factory=nn.Identity)
    start: np.ndarray = field(default_factory=lambda: np.zeros(1, np.int64))
    stop: np.ndarray = field(default_factory=lambda: np.zeros(1, np.int64))
    rows: int = 0

    def follow(self, visibility: Visibility, sequences: int) -> None:
        """Count this pass's rows, and move each sequence's end to that of this pass.

        Raises `AttentropyError` where its tokens are not the ones after those recorded.
        """
        start, stop = (ends.numpy() for ends in visibility.tokens(sequences))
        if not self.rows:
            self.start = self.stop = np.zeros(sequences, np.int64)
        first = np.maximum(start, visibility.position)
        has_tokens = stop > first
        has_begun = self.stop > self.start
        expected = np.where(has_begun, self.stop, start)
        has_moved = has_begun & (start != self.start)
        if (has_tokens & (has_moved | (first != expected))).any():
            raise AttentropyError(
                "the recorded passes are not consecutive; use one record() per sequence"
            )
        self.start = np.where(has_tokens, start, self.start)
        self.stop = np.where(has_tokens, stop, self.stop)
        self.rows += visibility.queries
