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

from attentropy.engine import attention_hook
from attentropy.engine.errors import AttentropyError
from attentropy.engine.masks import Visibility
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
        layer = getattr(module, "layer_idx", None)
        if layer is None:
            raise AttentropyError(f"{type(module).__name__} does not say which layer it is")
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
            layers = self.model.config.get_text_config().num_hidden_layers
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
    number of tokens to come, where it is known. On exit the model's own attention is back.

    Raises `AttentropyError` where the model does not run its attention through transformers'
    attention interface, or does so with arguments whose meaning is unknown.
    """
    attention_hook.register()
    config = model.config
    before = config._attn_implementation
    recorder = Recorder(model, stats=tuple(stats), impl=impl, length=length)
    _use(model, attention_hook.NAME)
    token = attention_hook.listener.set(recorder)
    try:
        yield recorder
    finally:
        attention_hook.listener.reset(token)
        _use(model, before)


def _use(model: Any, implementation: str) -> None:
    try:
        model.set_attn_implementation(implementation)
    except (ValueError, AttributeError) as error:
        raise AttentropyError(
            f"{type(model).__name__} does not let its attention be chosen"
        ) from error
    if model.config._attn_implementation != implementation:
        raise AttentropyError(f"{type(model).__name__} keeps its own attention implementation")


def check_same_outputs(model: PreTrainedModel, input_ids: Tensor) -> None:
    """Compare a short pass [1, n] with the model's own: same logits, and attention was called.

    Some models accept any implementation's name and never call it, with wrong logits and no
    error. Raises `AttentropyError`.
    """
    with torch.no_grad():
        own = model(input_ids, use_cache=False).logits.float()
        with record(model, stats=("entropy",)) as recorder:
            ours = model(input_ids, use_cache=False).logits.float()
    if not recorder.calls:
        raise AttentropyError(
            f"{type(model).__name__} has no attention layer that transformers' attention interface "
            "reaches; there is no attention entropy to record"
        )
    coarse = {torch.float32: 1e-3, torch.float16: 2e-2}.get(model.dtype, 5e-2)
    error = float((own - ours).abs().max())
    if not error <= coarse * max(1.0, float(own.abs().max())):
        raise AttentropyError(
            f"{type(model).__name__} gives other logits through transformers' attention interface "
            f"(by {error:.3g}); its entropies would be wrong"
        )
