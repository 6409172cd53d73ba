"""What a run keeps of its placebo questions: a reference for what is usual in this template."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from attentropy.engine.attention.ignored import Ignored
from attentropy.engine.attention.listening import listening
from attentropy.engine.attention.plan import AttentionPlan
from attentropy.engine.attention.selfcheck import check_model
from attentropy.engine.attention.visibility import Visibility
from attentropy.engine.lens.placebo import PlaceboStates
from attentropy.engine.maps.hidden_sinks import attention_without
from attentropy.engine.model.layers import layer_of
from attentropy.engine.trace.audience import audience_of
from attentropy.engine.trace.focus import focus
from attentropy.engine.trace.sink_keys import sinks_of_layer
from attentropy.kernels.ops import AttentionResult
from attentropy.kernels.sweep import attention_received


class EntropyMeans(Ignored):
    """The mean normalized attention entropy of each sequence of a batch, in one pass.

    means: [sequences, entries of the plan], over the heads that the plan keeps and over the queries
    that see two keys or more; NaN where nothing is recorded. means_without_sinks: the same as
    `focus` has it, without the sink keys of each sequence, where the plan keeps that of the prompt.
    may_be_sinks: which tokens of each sequence may be sink keys. Padding follows the tokens, so
    that it only has to be left out of the queries.
    """

    def __init__(
        self, model: PreTrainedModel, plan: AttentionPlan, may_be_sinks: Sequence[np.ndarray]
    ) -> None:
        super().__init__(model, ("entropy",), plan.layers)
        self._plan, self._may_be_sinks = plan, may_be_sinks
        self._calls: Counter[int] = Counter()
        shape = len(may_be_sinks), len(plan.entries)
        self.means, self.means_without_sinks = np.full((2, *shape), np.nan, np.float32)

    def on_attention(
        self, module: nn.Module, tensors: tuple[Tensor, Tensor, Tensor], visibility: Visibility,
        score: dict[str, Any], result: AttentionResult,
    ) -> None:  # fmt: skip
        """Take one attention call; see `hook.Listener`."""
        layer = layer_of(self.model, module)
        call = layer, self._calls[layer]
        self._calls[layer] += 1
        if result.entropy is None or call not in self._plan.entries:
            return
        entry = self._plan.entries.index(call)
        visible = visibility.counts(1)[0].numpy()
        entropy = self._of_heads(result.entropy)
        self.means[:, entry] = [
            _mean_of_range(own[:, : len(one)], visible[: len(one)])
            for own, one in zip(entropy, self._may_be_sinks, strict=True)
        ]
        if not self._plan.derived:
            return
        query, key, _ = tensors
        where = score | visibility.arguments()
        is_sink = self._sinks(query, key, result.lse, where, visible)
        without = [None] * len(entropy)
        if is_sink.any():
            hidden = attention_without(query, key, is_sink, where, "entropy").entropy
            assert hidden is not None
            without = list(np.where(is_sink[:, None], np.nan, self._of_heads(hidden)))
        for i, one in enumerate(self._may_be_sinks):
            n, other = len(one), without[i]
            totals, counts = focus(
                entropy[i][:, :n], visible[:n],
                other[:, :n] if other is not None and is_sink[i].any() else None, is_sink[i, :n],
            )  # fmt: skip
            if counts.any():
                self.means_without_sinks[i, entry] = totals.sum() / counts.sum()

    def _of_heads(self, values: Tensor) -> np.ndarray:
        """Return the values that the plan keeps, [sequences, heads, queries]."""
        return np.stack([self._plan.of_heads(one).double().cpu().numpy() for one in values])

    def _sinks(
        self, query: Tensor, key: Tensor, lse: Tensor, where: dict[str, Any], visible: np.ndarray
    ) -> np.ndarray:
        """Return which keys of each sequence are sinks of this layer, [sequences, keys] bool."""
        lengths = [len(one) for one in self._may_be_sinks]
        is_padding = torch.arange(lse.shape[-1]) >= torch.tensor(lengths)[:, None]
        # A row whose sum of weights is infinite gives each key nothing.
        lse = lse.masked_fill(is_padding[:, None].to(lse.device), torch.inf)
        received = attention_received(query, key, lse, heads="mean", **where)[:, 0]
        is_sink = np.zeros(received.shape, bool)
        for i, (n, mass) in enumerate(zip(lengths, received.double().cpu().numpy(), strict=True)):
            audience = audience_of(visible[:n], n)
            is_sink[i, :n] = sinks_of_layer(mass[:n], audience, self._may_be_sinks[i])[0]
        return is_sink


def _mean_of_range(entropies: np.ndarray, visible: np.ndarray) -> float:
    """Return the mean of H / ln(visible) of entropies [heads, queries], NaN where there is none."""
    has_range = visible >= 2
    normalized = entropies[:, has_range] / np.log(visible[has_range])
    is_known = np.isfinite(normalized)
    return float(normalized[is_known].mean()) if is_known.any() else float("nan")


def tell(model: PreTrainedModel, listener: Ignored) -> AbstractContextManager[None]:
    """Tell `listener` of the attention calls of passes while this is open."""
    return listening(model, listener, masks_built=check_model(model).masks_built)


@dataclass(frozen=True)
class Reference:
    """What was read of the questions: states, tokens of each, and means [questions, entries].

    means, means_without_sinks: those of `EntropyMeans`.
    """

    states: PlaceboStates
    lengths: np.ndarray
    means: np.ndarray
    means_without_sinks: np.ndarray

    def arrays(self, entries: Mapping[int, int]) -> dict[str, Any]:
        """Return the trace's arrays of it, once the lens has read the states.

        entries: the place along the trace's `layer` of each layer that the lens may read.
        """
        lens = np.full(self.means.shape, np.nan, np.float32)
        for (site, layer), values in self.states.entropies.items():
            if site == "residual":
                lens[:, entries[layer]] = values
        return {
            "reference_tokens": (("reference",), self.lengths),
            "reference_entropy": (("reference", "layer"), self.means),
            "reference_entropy_without_sinks": (("reference", "layer"), self.means_without_sinks),
            "reference_lens_entropy": (("reference", "layer"), lens),
        }
