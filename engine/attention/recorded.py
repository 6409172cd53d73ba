"""The trace of one sequence that was recorded without a plan: laid out from what came."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from transformers import PreTrainedModel

from attentropy.engine.attention.growing import Growing
from attentropy.engine.attention.layout import lay_out
from attentropy.engine.attention.plan import AttentionPlan, why_none
from attentropy.engine.attention.stream import Stream
from attentropy.engine.attention.tail_window import TailWindow
from attentropy.engine.model.layers import layer_count
from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.layout import array_layout

_WINDOWS = ("window", "window_entropy")
_WINDOW_DIMS = ("layer", "window_head", "window_query", "window_key")

Arrays = dict[str, tuple[tuple[str, ...], np.ndarray]]
Coords = dict[str, tuple[str, np.ndarray]]


class RecordedSequence(Stream):
    """A stream into memory of a sequence whose length is not known beforehand."""

    sink: Growing
    consumer: TailWindow | None

    @property
    def tokens(self) -> int:
        """The number of tokens so far."""
        return self.sink.rows("visible")

    def trace(
        self,
        plan: AttentionPlan,
        tokens: Mapping[str, Any],
        attrs: Mapping[str, Any],
        more: Mapping[str, Any] | None = None,
    ) -> Trace:
        """Return the attention statistics so far, with the coordinates of the `tokens`.

        plan: of `plan_of_calls`. more: further arrays and coordinates.
        """
        order = [self.entry(*entry) if entry in self.heads else None for entry in plan.entries]
        arrays: Arrays = {
            name: (shape.dims, self.sink.array(name, shape, order))
            for name, shape in plan.fields(plan.tokens, "float32").items()
        }
        windows, coords = self._windows(order)
        return lay_out(
            arrays | windows, {**plan.coords(), **coords, **tokens, **(more or {})}, attrs
        )

    def values(self, name: str, layer: int, index: int) -> np.ndarray:
        """Return one statistic of one attention call, [heads, tokens]."""
        return np.concatenate(self.sink.parts(name, self.entry(layer, index)), axis=-1)

    def plan_of_calls(self, model: PreTrainedModel) -> AttentionPlan:
        """Return the plan that would have led to what came: every call, and every silent layer."""
        called = {layer for layer, _ in self.heads}
        silent = [(layer, 0) for layer in range(layer_count(model)) if layer not in called]
        entries = sorted([*self.heads, *silent])
        counts = [self.heads.get(entry, 0) for entry in entries]
        notes = [
            "" if count else why_none(model, layer)
            for (layer, _), count in zip(entries, counts, strict=True)
        ]
        return AttentionPlan(
            tokens=self.tokens,
            entries=entries,
            counts=counts,
            notes=notes,
            layers=frozenset(layer for layer, _ in entries),
            names=tuple(n for n in self.sink.names if n not in (*_WINDOWS, "visible")),
            heads=list(range(max(counts, default=0))),
        )

    def _windows(self, order: list[int | None]) -> tuple[Arrays, Coords]:
        if self.consumer is None:
            return {}, {}
        stops = [
            self.consumer.stops[e] for e in order if e is not None and e in self.consumer.stops
        ]
        if not stops:
            return {}, {}
        heads, rows, keys = self.sink.shape("window")
        shape = array_layout(
            "window", _WINDOW_DIMS, (len(order), heads, rows, keys), rows, "float32"
        )
        names = [name for name in _WINDOWS if name in self.sink.names]
        arrays: Arrays = {name: (shape.dims, self.sink.array(name, shape, order)) for name in names}
        head = np.arange(heads) if self.consumer.is_per_head else np.array([-1])
        ends = {
            "window_head": head,
            "window_query": np.arange(stops[0] - rows, stops[0]),
            "window_key": np.arange(stops[0] - keys, stops[0]),
        }
        return arrays, {name: (name, values.astype(np.int32)) for name, values in ends.items()}
