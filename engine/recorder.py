"""What is kept of attention in a forward pass: statistics and exact weights, call by call."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from attentropy.engine.errors import AttentropyError
from attentropy.engine.layers import layer_count, layer_of
from attentropy.engine.masks import Visibility
from attentropy.engine.selfcheck import check_same_outputs, checked, listening
from attentropy.engine.trace import Trace
from attentropy.kernels.choice import Implementation
from attentropy.kernels.ops import AttentionResult
from attentropy.kernels.sweep import attention_window

DEFAULT_STATS = ("entropy", "max_prob", "distance", "sink_mass", "top_key")

# Exact weights are kept whole up to this many tokens, and of the tail of a longer prompt.
WINDOW_TOKENS = 512
_WINDOW_TAIL = 64
_WINDOW_BYTES = 64 * 2**20


@dataclass
class Call:
    """One attention call of one layer, its rows in the order in which they were computed.

    `stats[name]` holds arrays [heads, rows]; `window` the exact weights [heads, rows, keys].
    """

    layer: int
    index: int
    module: nn.Module
    stats: dict[str, list[np.ndarray]] = field(default_factory=lambda: defaultdict(list))
    visible: list[np.ndarray] = field(default_factory=list)
    window: np.ndarray | None = None
    window_entropy: np.ndarray | None = None

    @property
    def rows(self) -> int:
        """Queries recorded so far."""
        return sum(part.shape[-1] for part in self.visible)

    def values(self, name: str) -> np.ndarray:
        """One statistic over all rows, [heads, rows]."""
        return np.concatenate(self.stats[name], axis=-1)


class Recorder:
    """Collects one sequence; `trace` is what was recorded so far.

    After a forward pass `calls` holds the attention calls in order.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        stats: tuple[str, ...],
        impl: Implementation | None,
        length: int | None,
    ) -> None:
        self.model = model
        self.stats = stats
        self.impl = impl
        self.length = length
        self.calls: dict[tuple[int, int], Call] = {}
        self.padding_refused: str | None = None
        self._called: dict[int, int] = defaultdict(int)
        self._window_per_head: bool | None = None

    def heard(
        self,
        module: nn.Module,
        tensors: tuple[Tensor, Tensor, Tensor],
        seen: Visibility,
        score: dict[str, Any],
        result: AttentionResult,
    ) -> None:
        """Keep one attention call's statistics; see `attention_hook.Listener`."""
        if result.lse.shape[0] != 1:
            raise AttentropyError("record one sequence at a time; this batch holds several")
        padded = seen.key_lengths is not None
        if padded and self.padding_refused is not None:
            raise AttentropyError(self.padding_refused)
        layer = layer_of(self.model, module)
        start = seen.query_offset + seen.first_key
        if start == 0:
            self._called[layer] += 1
            index = self._called[layer] - 1
            call = self.calls.setdefault((layer, index), Call(layer, index, module))
        else:
            call = self._continued(layer, start)
        if call.rows != start:
            raise AttentropyError(
                "the recorded passes do not follow each other; use one record() per sequence"
            )
        for name in (*self.stats, "lse", "sink_prob"):
            value = getattr(result, name, None)
            if value is None:
                continue
            if name == "top_key":  # a position in the sequence, not in the cache
                value = torch.where(value >= 0, value + seen.first_key, value)
            call.stats[name].append(value[0].cpu().numpy())
        call.visible.append(seen.counts(1)[0].to(torch.int32).numpy())
        self._keep_window(call, tensors, seen, score, result)

    def _continued(self, layer: int, start: int) -> Call:
        for (at, _), call in self.calls.items():
            if at == layer and call.rows == start:
                return call
        raise AttentropyError(
            "recording began in the middle of a sequence; start with an empty cache"
        )

    def _keep_window(
        self,
        call: Call,
        tensors: tuple[Tensor, Tensor, Tensor],
        seen: Visibility,
        score: dict[str, Any],
        result: AttentionResult,
    ) -> None:
        """Exact weights: of the whole prompt where it is short, of the tail's own square else."""
        total = self.length or seen.queries
        last = seen.query_offset + seen.first_key + seen.queries
        if last != total or seen.first_key:
            return
        first = 0 if total <= WINDOW_TOKENS else total - min(_WINDOW_TAIL, seen.queries)
        if first < seen.query_offset:
            return
        rows = (first - seen.query_offset, seen.queries)
        query, key, _ = tensors
        where = score | seen.arguments()
        span = (first, total)
        weights = attention_window(query, key, result.lse, rows, span, **where)[0]
        if self._window_per_head is None:  # all layers alike, by the first of them
            layers = layer_count(self.model) or len(self.calls)
            self._window_per_head = weights.numel() * 4 * layers <= _WINDOW_BYTES
        if self._window_per_head:
            call.window = weights.float().cpu().numpy()
            return
        shares = attention_window(query, key, result.lse, rows, span, values="entropy", **where)[0]
        call.window = weights.float().mean(0, keepdim=True).cpu().numpy()
        call.window_entropy = shares.float().mean(0, keepdim=True).cpu().numpy()

    @property
    def trace(self) -> Trace:
        """The attention statistics as a trace; token texts are the ids' numbers until named."""
        from attentropy.engine.assemble import attention_trace

        return attention_trace(self)


@contextmanager
def record(
    model: PreTrainedModel,
    *,
    stats: tuple[str, ...] = DEFAULT_STATS,
    impl: Implementation | None = None,
    length: int | None = None,
) -> Iterator[Recorder]:
    """While open, every attention call of `model` is recorded; its outputs stay what they were.

    `model` is a transformers model in evaluation mode; one sequence, from its first token on, in
    one or several passes through the cache. `stats` as in `attentropy.attention`; `length` is the
    number of tokens to come, where it is known. On exit the model's own attention is back. The
    first time that a model is given, `check_same_outputs` runs it over a short probe.

    Raises `AttentropyError` where the model does not run its attention through transformers'
    attention interface, or does so with arguments whose meaning is unknown.
    """
    if model.training:
        raise AttentropyError("the model is in training mode; call model.eval() before recording")
    found = checked(model)
    recorder = Recorder(model, stats=tuple(stats), impl=impl, length=length)
    recorder.padding_refused = found.padding
    with listening(model, recorder, masks_built=found.masks_built):
        yield recorder
    if missing := found.calls - set(recorder.calls) if recorder.calls else set():
        layer = min(missing)[0]
        raise AttentropyError(
            f"layer {layer} of {type(model).__name__} made no attention call in this pass, and "
            "made one over a shorter text; its entropies would be missing"
        )


__all__ = ["DEFAULT_STATS", "Call", "Recorder", "check_same_outputs", "record"]
