"""What one attention call leaves of each sequence of a batch, pass after pass."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
from torch import nn

from attentropy.engine.attention.visibility import Visibility
from attentropy.engine.errors import AttentropyError


@dataclass(frozen=True)
class Window:
    """Exact weights of one sequence's last rows so far, [heads or 1, rows, keys].

    Its rows and keys end before token `stop` of the sequence; `entropy` holds −p ln p where the
    weights are the mean over heads.
    """

    stop: int
    weights: np.ndarray
    entropy: np.ndarray | None = None


@dataclass
class Call:
    """One attention call of one layer, its rows in the order in which they were computed.

    `stats[name]` holds arrays [sequences, heads, rows], `visible` [sequences, rows], both empty
    where the values went elsewhere as they were made; rows count the batch's padding too. Sequence
    b's tokens are the rows from `start[b]` to before `stop[b]`.
    """

    layer: int
    index: int
    module: nn.Module
    stats: dict[str, list[np.ndarray]] = field(default_factory=lambda: defaultdict(list))
    visible: list[np.ndarray] = field(default_factory=list)
    windows: dict[int, Window] = field(default_factory=dict)
    start: np.ndarray = field(default_factory=lambda: np.zeros(1, np.int64))
    stop: np.ndarray = field(default_factory=lambda: np.zeros(1, np.int64))
    rows: int = 0  # queries met so far, padding among them

    def tokens(self, sequence: int) -> slice:
        """The rows of one sequence's tokens: those that are not padding."""
        return slice(int(self.start[sequence]), int(self.stop[sequence]))

    def values(self, name: str, sequence: int = 0) -> np.ndarray:
        """One statistic of one sequence over all rows, padding among them, [heads, rows]."""
        return np.concatenate([part[sequence] for part in self.stats[name]], axis=-1)

    def visible_keys(self, sequence: int = 0) -> np.ndarray:
        """How many keys each row of one sequence may see, padding among the rows, [rows]."""
        return np.concatenate([part[sequence] for part in self.visible], axis=-1)

    def follow(self, seen: Visibility, sequences: int) -> None:
        """Count this pass's rows, and move each sequence's end to that of this pass.

        Raises `AttentropyError` where its tokens are not the ones after those recorded.
        """
        start, stop = (ends.numpy() for ends in seen.tokens(sequences))
        if not self.rows:
            self.start = self.stop = np.zeros(sequences, np.int64)
        first = np.maximum(start, seen.position)
        comes = stop > first
        begun = self.stop > self.start
        expected = np.where(begun, self.stop, start)
        moved = begun & (start != self.start)
        if (comes & (moved | (first != expected))).any():
            raise AttentropyError(
                "the recorded passes do not follow each other; use one record() per sequence"
            )
        self.start = np.where(comes, start, self.start)
        self.stop = np.where(comes, stop, self.stop)
        self.rows += seen.queries
