"""A recorder's values passed on as they are made: nothing of a finished call stays with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from attentropy.engine.attention.calls import Call
from attentropy.engine.attention.kept import Attention
from attentropy.engine.attention.visibility import Visibility
from attentropy.engine.errors import AttentropyError
from attentropy.engine.maps.sweeps import Sweeps
from attentropy.engine.trace.sinks import Sink
from attentropy.kernels.ops import AttentionResult


@dataclass
class Stream:
    """Takes what each attention call of one sequence gives, from token `start` on, to `sink`."""

    kept: Attention
    sink: Sink
    sweeps: Sweeps
    start: int = 0
    _entry: dict[tuple[int, int], int] = field(init=False)

    def __post_init__(self) -> None:
        self._entry = {entry: i for i, entry in enumerate(self.kept.entries)}

    def begun(self, layer: int, index: int) -> Call:
        """A call whose rows before `start` are there already."""
        stop = np.full(1, self.start, np.int64)
        return Call(layer, index, torch.nn.Identity(), rows=self.start, stop=stop)

    def heard(
        self,
        call: Call,
        tensors: tuple[Tensor, Tensor, Tensor],
        seen: Visibility,
        score: dict[str, Any],
        result: AttentionResult,
    ) -> None:
        """Pass on one attention call's values; see `attention_hook.Listener`."""
        if call.layer not in self.kept.layers:
            return
        if result.lse.shape[0] > 1:
            raise AttentropyError("a stream takes one sequence; record the prompts one at a time")
        entry = self._entry[call.layer, call.index]
        rows = slice(seen.position, seen.position + seen.queries)
        for name in self.kept.names:
            values = getattr(result, name)
            if values is None:
                continue
            values = self.kept.of_heads(values[0])
            if name == "top_key":  # a position in the sequence, not in the cache
                values = torch.where(values >= 0, values + seen.first_key, values)
            self.sink.put(name, (entry, slice(0, len(values)), rows), values)
        self.sink.put("visible", (entry, rows), seen.counts(1)[0])
        query, key, _ = tensors
        found = self.sweeps.heard(entry, query, key, result.lse, seen, score, result.entropy)
        for name, (first, part) in found.items():
            at = (entry, slice(0, len(part)), slice(first, first + part.shape[1]))
            self.sink.put(name, at, part)
