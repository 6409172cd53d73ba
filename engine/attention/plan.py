"""Plan what is kept of attention before the first token is read: entries, heads and arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from attentropy.engine.arguments import Names, Selection, read_names
from attentropy.engine.attention.selfcheck import attention_entries, check_model
from attentropy.engine.model.layers import layer_count, layer_kinds
from attentropy.engine.selection import select
from attentropy.engine.trace.layout import ArrayLayout, array_layout
from attentropy.engine.trace.statistics import KEPT_ATTENTION, is_key
from attentropy.engine.trace.text import text_array
from attentropy.kernels.ops import STATS

NOT_RECORDED = "not recorded (`layers`)"
NO_STATS = "not recorded (`stats`)"
_NO_ATTENTION = "not applicable: this layer has no softmax attention"


def read_stats(
    stats: Names,
    default: Sequence[str] = KEPT_ATTENTION,
    others: Sequence[str] = (),
    *,
    may_be_none: bool = False,
) -> tuple[str, ...]:
    """Return the statistics to keep.

    Entropy is always one of them, and sink_prob where there are sinks; with `may_be_none`, "none"
    is none at all. others: names that are not of attention. Raises `UsageError` for an unknown one.
    """
    names = read_names(stats, "stats", (*STATS, "lse", *others), default)
    if may_be_none and not names:
        return ()
    return tuple(dict.fromkeys(("entropy", *(s for s in names if s != "sink_prob"))))


@dataclass(frozen=True)
class AttentionPlan:
    """What is kept of the attention over a prompt of `tokens` tokens.

    An entry is a call of a layer, or a layer that makes none: `entries` are (layer, call), `counts`
    the heads of each, `notes` the reasons why there is nothing. The statistics `names` are kept in
    the layers `layers`, for the heads `heads` or, where that is None, as their mean. So are the
    `derived` ones, which a further sweep gives.
    """

    tokens: int
    entries: list[tuple[int, int]]
    counts: list[int]
    notes: list[str]
    layers: frozenset[int]
    names: tuple[str, ...]
    heads: list[int] | None
    derived: tuple[str, ...] = ()

    @property
    def calls(self) -> list[tuple[int, int]]:
        """The entries that are calls."""
        return [entry for entry, heads in zip(self.entries, self.counts, strict=True) if heads]

    def of_heads(self, values: Tensor) -> Tensor:
        """Return the values that are kept of those of all heads [H, rows], [kept, rows].

        A mean is that of the finite values.
        """
        if self.heads is not None:
            if self.heads == list(range(values.shape[0])):
                return values
            return values[[head for head in self.heads if head < values.shape[0]]]
        finite = torch.where(values.isfinite(), values, torch.nan)
        return finite.nanmean(0, keepdim=True)

    def fields(self, step: int, storage: str) -> dict[str, ArrayLayout]:
        """Return the arrays, `step` queries in a stored chunk."""
        heads = 1 if self.heads is None else len(self.heads)
        layers, n = len(self.entries), self.tokens
        shape, dims = (layers, heads, n), ("layer", "head", "query")
        names = (*self.names, *self.derived)
        fields = {name: array_layout(name, dims, shape, step, storage) for name in names}
        fields["visible"] = array_layout("visible", ("layer", "query"), (layers, n), step, storage)
        return fields

    def coords(self) -> dict[str, tuple[str, np.ndarray]]:
        """Return the coordinates of these arrays."""
        return {
            "layer": ("layer", np.array([layer for layer, _ in self.entries], np.int32)),
            "call": ("layer", np.array([index for _, index in self.entries], np.int32)),
            "heads": ("layer", np.array(self.counts, np.int32)),
            "attention_note": ("layer", text_array(self.notes)),
            "head": ("head", np.array([-1] if self.heads is None else self.heads, np.int32)),
            "query": ("query", np.arange(self.tokens, dtype=np.int32)),
        }


def plan_attention(
    model: PreTrainedModel, tokens: int, stats: Sequence[str], layers: Selection, heads: Selection
) -> tuple[AttentionPlan, list[str]]:
    """Return what is kept of a prompt of `tokens` tokens, and the notes on it.

    The model's check says which calls there are. stats, layers, heads: as `extract` takes them.
    """
    facts, entries = check_model(model), attention_entries(model)
    counts = [facts.heads.get(entry, 0) for entry in entries]
    largest = max(counts, default=0)
    layer_numbers = max((layer + 1 for layer, _ in entries), default=0)
    kept_layers = frozenset(select(layers, layer_numbers, "layers"))
    kept_heads = None if heads == "mean" else select(heads, largest, "heads")
    names, remarks = list(stats), []
    if facts.has_sinks:
        names.append("sink_prob")
    if kept_heads is None:
        keys = [name for name in names if is_key(name)]
        names = [name for name in names if name not in keys]
        remarks += [f"{name} cannot be averaged over heads, so it is left out" for name in keys]
    notes = []
    for (layer, _), count in zip(entries, counts, strict=True):
        if not count:
            notes.append(why_none(model, layer))
        else:
            notes.append("" if layer in kept_layers else NOT_RECORDED)
    plan = AttentionPlan(
        tokens=tokens,
        entries=entries,
        counts=counts,
        notes=notes,
        layers=kept_layers,
        names=tuple(dict.fromkeys(names)),
        heads=kept_heads,
    )
    return plan, remarks


def plan_no_attention(model: PreTrainedModel, tokens: int) -> AttentionPlan:
    """Return the plan of a run that keeps nothing of attention; the model need not have any."""
    layers = layer_count(model)
    return AttentionPlan(
        tokens=tokens,
        entries=[(layer, 0) for layer in range(layers)],
        counts=[0] * layers,
        notes=[NO_STATS] * layers,
        layers=frozenset(),
        names=("entropy",),
        heads=None,
    )


def why_none(model: PreTrainedModel, layer: int) -> str:
    """Return why a layer has no attention in the trace."""
    kinds = layer_kinds(model)
    kind = f" ({kinds[layer]})" if layer < len(kinds) else ""
    return f"{_NO_ATTENTION}{kind}"


def first_entries(plan: AttentionPlan) -> Mapping[int, int]:
    """Return the entry of each layer's first call, which has what belongs to the layer itself."""
    return {layer: i for i, (layer, index) in enumerate(plan.entries) if index == 0}
