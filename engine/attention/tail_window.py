"""Keep the exact weights of a sequence's last rows: what a recording has besides its statistics."""

from __future__ import annotations

import numpy as np

from attentropy.engine.attention.sequence_call import SequenceCall
from attentropy.engine.attention.weights import exact_weights
from attentropy.engine.attention.window_size import WINDOW_TAIL, WINDOW_TOKENS, kept_per_head


class TailWindow:
    """Takes the exact weights of one sequence from the pass that ends it.

    They are those of the whole prompt where it is short, and of the tail's own square otherwise;
    per head or as the mean over heads, alike in all layers. `layers` is the number of attention
    layers; `length` the number of tokens to come, padding among them, None where that is unknown:
    then the first pass is taken to be the whole prompt. See `stream.CallConsumer`.
    """

    def __init__(self, layers: int, length: int | None) -> None:
        self.layers = layers
        self.length = length
        self.stops: dict[int, int] = {}  # tokens of the sequence, by entry
        self._per_head: bool | None = None

    @property
    def is_per_head(self) -> bool:
        """Whether weights are kept per head; only means have the shares of the entropy too."""
        return bool(self._per_head)

    def on_attention(self, entry: int, call: SequenceCall) -> dict[str, tuple[int, np.ndarray]]:
        """Return the window's rows, if this pass has them; see `stream.CallConsumer`."""
        visibility = call.visibility
        if visibility.end != (self.length or visibility.queries) or visibility.first_key:
            return {}
        start, stop = visibility.span
        is_whole = stop - start <= WINDOW_TOKENS
        first = start if is_whole else max(visibility.position, stop - WINDOW_TAIL)
        if (
            not visibility.position <= first < stop
        ):  # rows of an earlier pass, or no token in this one
            return {}
        if self._per_head is None:
            values = self.layers * call.query.shape[1] * (stop - first) ** 2
            self._per_head = kept_per_head(values)
        rows = first - visibility.position, stop - visibility.position
        weights, shares = exact_weights(
            call.query, call.key, call.lse, rows, (first, stop), call.where,
            per_head=self._per_head, shares=True,
        )  # fmt: skip
        self.stops[entry] = stop - start
        parts = {"window": (0, weights)}
        return parts if shares is None else parts | {"window_entropy": (0, shares)}
