"""The source of a page's packed values: what to read when the page has bytes for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.readable import is_redacted
from attentropy.engine.trace.units import word_starts
from attentropy.report import planes
from attentropy.report.compare.difference import Difference
from attentropy.report.pack.sides import Sides
from attentropy.report.read.positions import Range
from attentropy.report.read.views import View


@dataclass(frozen=True)
class ValueSource:
    """A trace and what was read of it already, for packing.

    `views` are those of the figure, `attention` their entropies of all heads; `sections` are the
    ranges that the page must hold position by position; `sides` packs the sides of a difference.
    """

    trace: Trace
    views: Sequence[View]
    attention: planes.AttentionPlanes | None
    sections: Sequence[Range]
    sides: Sides

    @cached_property
    def word_starts(self) -> np.ndarray | None:
        """Whether each token starts a word; None where no word has two tokens, or none is known."""
        if isinstance(self.trace, Difference) or is_redacted(self.trace):
            return None
        starts = word_starts(self.trace)
        return None if starts.all() else starts

    @property
    def positions(self) -> int:
        """The number of positions of the prompt."""
        return int(self.trace.dataset.sizes["position"])
