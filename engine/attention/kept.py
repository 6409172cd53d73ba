"""What a run keeps of attention, known before its first token is read: entries, heads, arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from attentropy.engine.attention.assemble import entries, why_none
from attentropy.engine.errors import UsageError
from attentropy.engine.selection import check_selection, select
from attentropy.engine.trace.layout import Field, field
from attentropy.engine.trace.text import text_array
from attentropy.kernels.ops import STATS

if TYPE_CHECKING:
    from attentropy.engine.attention.recorder import Recorder

NOT_RECORDED = "not recorded (--layers)"


def check_stats(stats: Sequence[str]) -> tuple[str, ...]:
    """The statistics to keep: entropy is always one of them, and sink_prob where there are sinks.
    Raises `UsageError` for an unknown one."""
    known = (*STATS, "lse")
    if unknown := [name for name in stats if name not in known]:
        raise UsageError(f"unknown statistic {unknown[0]!r}; known: {', '.join(known)}")
    return tuple(dict.fromkeys(("entropy", *(s for s in stats if s != "sink_prob"))))


def check_heads(heads: str) -> None:
    """Raise `UsageError` where `heads` names none, whatever their number."""
    check_selection(heads, "heads", ("all", "mean"))


@dataclass(frozen=True)
class Attention:
    """Of a prompt of `tokens` tokens. An entry is a call of a layer, or a layer that makes none:
    `entries` are (layer, call), `counts` the heads of each. Of the layers in `layers` the
    statistics `names` are kept, for the heads `heads` or, where that is None, as their mean."""

    tokens: int
    entries: list[tuple[int, int]]
    counts: list[int]
    notes: list[str]
    layers: frozenset[int]
    names: tuple[str, ...]
    heads: list[int] | None

    @property
    def calls(self) -> list[tuple[int, int]]:
        """The entries that are calls."""
        return [entry for entry, heads in zip(self.entries, self.counts, strict=True) if heads]

    def of_heads(self, values: Tensor) -> Tensor:
        """Of values of all heads [H, rows] those that are kept, [kept, rows]; the mean is that of
        the finite ones."""
        if self.heads is not None:
            if self.heads == list(range(values.shape[0])):
                return values
            return values[[head for head in self.heads if head < values.shape[0]]]
        finite = torch.where(values.isfinite(), values, torch.nan)
        return finite.nanmean(0, keepdim=True)

    def fields(self, step: int, storage: str) -> dict[str, Field]:
        """The arrays, queries stored by `step`."""
        heads = 1 if self.heads is None else len(self.heads)
        layers, n = len(self.entries), self.tokens
        shape, dims = (layers, heads, n), ("layer", "head", "query")
        found = {name: field(name, dims, shape, step, storage) for name in self.names}
        found["visible"] = field("visible", ("layer", "query"), (layers, n), step, storage)
        return found

    def coords(self) -> dict[str, tuple[str, np.ndarray]]:
        """Coordinates of these arrays."""
        return {
            "layer": ("layer", np.array([layer for layer, _ in self.entries], np.int32)),
            "call": ("layer", np.array([index for _, index in self.entries], np.int32)),
            "heads": ("layer", np.array(self.counts, np.int32)),
            "attention_note": ("layer", text_array(self.notes)),
            "head": ("head", np.array([-1] if self.heads is None else self.heads, np.int32)),
            "query": ("query", np.arange(self.tokens, dtype=np.int32)),
        }


def attention(
    probe: Recorder, tokens: int, stats: Sequence[str], layers: str | None, heads: str
) -> tuple[Attention, list[str]]:
    """What is kept of a prompt of `tokens` tokens, and what to say of it.

    probe: has recorded a short pass, and so knows which calls there are. stats, layers, heads: as
    `extract` takes them.
    """
    found = entries(probe)
    counts = [0 if call is None else call.values("lse").shape[0] for _, _, call in found]
    most = max(counts, default=0)
    count = max((layer + 1 for layer, _, _ in found), default=0)
    chosen = frozenset(select(layers or "all", count, "layers"))
    of_heads = None if heads == "mean" else select(heads, most, "heads")
    told = []
    names = list(stats)
    if any("sink_prob" in call.stats for _, _, call in found if call is not None):
        names.append("sink_prob")
    if of_heads is None and "top_key" in names:
        names.remove("top_key")
        told.append("top_key has no mean over the heads and is left out")
    notes = []
    for layer, _, call in found:
        note = why_none(probe, layer) if call is None else ""
        notes.append(note or ("" if layer in chosen else NOT_RECORDED))
    plan = Attention(
        tokens=tokens,
        entries=[(layer, index) for layer, index, _ in found],
        counts=counts,
        notes=notes,
        layers=chosen,
        names=tuple(dict.fromkeys(names)),
        heads=of_heads,
    )
    return plan, told


def entries_of_layers(plan: Attention) -> Mapping[int, int]:
    """The entry that has what belongs to a layer as a whole: that of its first call."""
    return {layer: i for i, (layer, index) in enumerate(plan.entries) if index == 0}
