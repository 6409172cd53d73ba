"""The one way from an attention call to an array: a sequence's values go to a sink as they come."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from attentropy.engine.attention.plan import AttentionPlan
from attentropy.engine.attention.sequence_call import SequenceCall
from attentropy.engine.attention.visibility import Visibility
from attentropy.engine.trace.sinks import Sink
from attentropy.engine.trace.statistics import is_key
from attentropy.kernels.ops import AttentionResult


class CallConsumer(Protocol):
    """Takes from each attention call of one sequence what it has besides its statistics."""

    def on_attention(self, entry: int, call: SequenceCall) -> dict[str, tuple[int, np.ndarray]]:
        """Return the rows that are complete now: name → (first row, values [heads, rows, keys]).

        Statistics of rows are [heads, rows]. entry: the place of the call along `layer`.
        """


def split_batch(
    tensors: tuple[Tensor, Tensor, Tensor],
    visibility: Visibility,
    score: dict[str, Any],
    result: AttentionResult,
    names: Sequence[str],
) -> Iterator[tuple[SequenceCall, Mapping[str, Tensor]]]:
    """Yield the part of each sequence in an attention call over a batch, and its statistics.

    These are [Hq, Nq] by name. `tensors` are query, key and value; `names` the statistics to hand
    on, as far as `result` has them.
    """
    query, key, value = tensors
    values = {name: getattr(result, name) for name in names}
    values = {name: value for name, value in values.items() if value is not None}
    batch = len(query)
    if batch > 1:  # one copy from the device for all of them
        values = {name: value.cpu() for name, value in values.items()}
    for sequence in range(batch):
        one = slice(sequence, sequence + 1)
        call = SequenceCall(
            query[one], key[one], result.lse[one], visibility.of(sequence), score,
            None if result.entropy is None else result.entropy[one], value.shape[-1],
        )  # fmt: skip
        yield call, {name: value[sequence] for name, value in values.items()}


@dataclass
class Stream:
    """Passes on what each attention call of one sequence gives, from token `start` on, to `sink`.

    `plan` says of which layers and heads what is kept; `consumer` takes what there is besides the
    statistics, if anything. Rows of padding are left out, and positions are counted from the first
    token.
    """

    plan: AttentionPlan
    sink: Sink
    consumer: CallConsumer | None
    start: int = 0
    heads: dict[tuple[int, int], int] = field(default_factory=dict)  # of the calls that came
    _entries: dict[tuple[int, int], int] = field(init=False)

    def __post_init__(self) -> None:
        self._entries = {entry: i for i, entry in enumerate(self.plan.entries)}

    def records(self, layer: int) -> bool:
        """Return whether a layer's attention is kept."""
        return layer in self.plan.layers

    def entry(self, layer: int, index: int) -> int:
        """Return the number under which a call's arrays are kept.

        Calls that the plan does not know, of a second sequence, follow those that it does.
        """
        return self._entries.setdefault((layer, index), len(self._entries))

    def on_attention(
        self, layer: int, index: int, call: SequenceCall, statistics: Mapping[str, Tensor]
    ) -> None:
        """Pass on one attention call (layer, index) and its `statistics`, see `split_batch`."""
        entry, visibility = self.entry(layer, index), call.visibility
        self.heads[layer, index] = call.lse.shape[1]
        start, stop = visibility.span
        first, last = max(visibility.position, start), min(visibility.end, stop)
        if last > first:
            here, rows = (
                slice(first - visibility.position, last - visibility.position),
                (first, last),
            )
            place = slice(*(end - start for end in rows))
            for name in self.plan.names:
                if name in statistics:
                    values = self.plan.of_heads(statistics[name][:, here])
                    by = visibility.first_key - start
                    if by and is_key(name):  # a position in the sequence, not in the cache
                        values = _shifted(values, by)
                    self.sink.put(name, (entry, slice(0, len(values)), place), values)
            self.sink.put("visible", (entry, place), visibility.counts(1)[0, here])
        parts = {} if self.consumer is None else self.consumer.on_attention(entry, call)
        for name, (row, part) in parts.items():
            if name in self.plan.derived:
                part = self.plan.of_heads(torch.from_numpy(part)).numpy()
            at = (entry, slice(0, len(part)), slice(row, row + part.shape[1]))
            self.sink.put(name, at, part)


def _shifted(keys: Tensor, by: int) -> Tensor:
    """Return key numbers moved by `by`; −1, which is none, stays."""
    return torch.where(keys >= 0, keys + by, keys)
