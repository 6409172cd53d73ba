"""The sequences that passes read side by side, followed from their first tokens to their last."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from torch import Tensor, nn

from attentropy.engine.attention.calls import Call
from attentropy.engine.attention.finite import finite_scores
from attentropy.engine.attention.stream import Stream
from attentropy.engine.attention.visibility import Visibility
from attentropy.engine.errors import AttentropyError

# Of so few rows (when tokens are generated) the scores are kept as they are, until they are needed.
_FEW_ROWS = 16


class _Rows(NamedTuple):
    """How far a call has come; see `Call`."""

    start: np.ndarray
    stop: np.ndarray
    rows: int

    @classmethod
    def of(cls, call: Call) -> _Rows:
        return cls(call.start, call.stop, call.rows)

    def is_same(self, other: _Rows) -> bool:
        """Return whether this is the same place, by identity: equal ones may be told apart."""
        if self.rows != other.rows:
            return False
        return not self.rows or (self.start is other.start and self.stop is other.stop)


class Batch:
    """The `size` sequences of a batch: their attention calls, and the stream of each.

    not_finite: the first token of each sequence (by its number) at which the model's own outputs
    were not finite. place: the mask of the latest pass's first call.
    """

    def __init__(
        self, size: int, streams: Sequence[Stream], calls: Mapping[tuple[int, int], Call] | None
    ) -> None:
        self.size = size
        self.streams = streams
        self.calls: dict[tuple[int, int], Call] = dict(calls or {})
        self.not_finite: dict[int, int] = {}
        self.place: Visibility | None = None
        self._scores: list[Tensor] = []  # of each call of the pass under way
        self._moved: tuple[Visibility, _Rows, _Rows] | None = None  # what the latest call did
        self._first_calls: dict[int, int] = defaultdict(int)  # of each layer, in the first pass

    def follow(self, layer: int, module: nn.Module, visibility: Visibility) -> Call:
        """Return the call that this pass continues, or a new one where the batch begins.

        Raises `AttentropyError` where its rows are not the next ones.
        """
        if visibility.position:
            call = self._continued(layer, visibility.position)
        else:
            call = self._new(layer, module, visibility)
        self._move(call, visibility)
        return call

    def _move(self, call: Call, visibility: Visibility) -> None:
        """Move a call by this pass's rows: as the call before it, where both were at the same."""
        before = _Rows.of(call)
        last = self._moved
        if last is not None and visibility is last[0] and before.is_same(last[1]):
            after = last[2]
            call.start, call.stop, call.rows = after.start, after.stop, after.rows
            return
        call.follow(visibility, self.size)
        self._moved = visibility, before, _Rows.of(call)

    def spans(self) -> list[tuple[int, int, int]]:
        """Return the rows of the latest pass that are tokens: (first, stop, token of the first).

        One for each sequence, rows counted within the pass; first = stop where it has none.
        """
        assert self.place is not None
        position, end = self.place.position, self.place.end
        spans = []
        for start, stop in zip(
            *(ends.tolist() for ends in self.place.tokens(self.size)), strict=True
        ):
            first = max(position, start)
            last = max(first, min(end, stop))
            spans.append((first - position, last - position, first - start))
        return spans

    def begin_pass(self, place: Visibility) -> None:
        """Take the mask of the first call of a pass."""
        self.place = place
        self._scores = []

    def take_scores(self, lse: Tensor) -> None:
        """Keep of a call's `lse` [B, H, N] what tells where its scores are finite."""
        self._scores.append(lse if lse.shape[2] <= _FEW_ROWS else finite_scores(lse))

    def note_finite(self, outputs: Sequence[Tensor]) -> None:
        """Take which rows [sequences, queries] of the latest pass's outputs are finite.

        Where any is not, the scores tell the token with which it began.
        """
        shown = [first for rows in outputs if (first := self._first_wrong(rows))]
        if shown:
            rows = (finite_scores(s) if s.ndim == 3 else s for s in self._scores)
            scores = (self._first_wrong(finite.cpu()) for finite in rows)
            for first in (next((first for first in scores if first), {}), *shown):
                for sequence, token in first.items():
                    self.not_finite.setdefault(sequence, token)
        self._scores = []

    def _first_wrong(self, rows: Tensor) -> dict[int, int]:
        """Return the first token of each sequence whose row [sequences, queries] is False."""
        if bool(rows.all()):
            return {}
        tokens = {}
        for sequence, (first, stop, token) in enumerate(self.spans()):
            wrong = np.flatnonzero(~rows[sequence, first:stop].numpy())
            if wrong.size:
                tokens[sequence] = token + int(wrong[0])
        return tokens

    def missing_call(self, expected: set[tuple[int, int]]) -> tuple[int, int] | None:
        """Return a call that made fewer rows than the others, None where there is none."""
        rows = max((call.rows for call in self.calls.values()), default=0)
        short = [key for key, call in self.calls.items() if call.rows != rows]
        return min([*short, *(expected - set(self.calls))], default=None)

    def _new(self, layer: int, module: nn.Module, visibility: Visibility) -> Call:
        index = self._first_calls[layer]
        if index and self.calls[layer, index - 1].rows != visibility.queries:
            raise AttentropyError(
                "the calls of one layer in this pass have different numbers of rows; attentropy "
                "records models of one sequence of tokens"
            )
        self._first_calls[layer] += 1
        call = self.calls[layer, index] = Call(layer, index, module)
        return call

    def _continued(self, layer: int, position: int) -> Call:
        calls = [call for (at, _), call in self.calls.items() if at == layer]
        for call in calls:
            if call.rows == position:
                return call
        if calls:
            raise AttentropyError(
                f"this pass starts at token {position}, but {max(call.rows for call in calls)} "
                "tokens are recorded; passes must be consecutive, with the KV cache that the pass "
                "before them left"
            )
        raise AttentropyError(
            "the recording started in the middle of a sequence; start with an empty KV cache"
        )
