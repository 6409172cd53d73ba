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

from attentropy.engine.attention.listening import listening
from attentropy.engine.attention.plan import AttentionPlan
from attentropy.engine.attention.selfcheck import check_model
from attentropy.engine.attention.sequence_call import SequenceCall
from attentropy.engine.attention.stream import split_batch
from attentropy.engine.attention.visibility import Visibility
from attentropy.engine.lens.placebo import PlaceboStates
from attentropy.engine.maps.hidden_sinks import HiddenSinks
from attentropy.engine.model.layers import layer_of
from attentropy.engine.run.prefill import Ignored
from attentropy.engine.trace.focus import focus
from attentropy.kernels.ops import AttentionResult
from attentropy.kernels.sweep import attention_received


class EntropyMeans(Ignored):
    """The mean normalized attention entropy of each sequence of a batch, in one pass.

    means: [sequences, entries of the plan], over the heads that the plan keeps and over the queries
    that see two keys or more; NaN where nothing is recorded. means_without_sinks: the same as
    `focus` has it, without the sink keys of each sequence, where the plan keeps that of the prompt.
    may_be_sinks: which tokens of each sequence may be sink keys.
    """

    def __init__(
        self, model: PreTrainedModel, plan: AttentionPlan, may_be_sinks: Sequence[np.ndarray]
    ) -> None:
        super().__init__(model, ("entropy",), plan.layers)
        self._plan, count = plan, len(plan.entries)
        self._calls: Counter[int] = Counter()
        self._sinks = [HiddenSinks(count, one, plan.derived) for one in may_be_sinks]
        shape = len(may_be_sinks), count
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
        parts = split_batch(tensors, visibility, score, result, ())
        for i, (sinks, (whole, _)) in enumerate(zip(self._sinks, parts, strict=True)):
            own = whole.of_tokens(0, len(sinks.is_possible))
            if own is None or own.entropy is None:
                continue
            visible = own.visibility.counts(1)[0]
            values = self._plan.of_heads(own.entropy[0]).double().cpu()
            self.means[i, entry] = _mean_of_range(values, visible)
            if self._plan.derived:
                mean = self._without_sinks(sinks, entry, own, values.numpy(), visible.numpy())
                self.means_without_sinks[i, entry] = mean

    def _without_sinks(
        self, sinks: HiddenSinks, entry: int, call: SequenceCall, entropy: np.ndarray,
        visible: np.ndarray,
    ) -> float:  # fmt: skip
        """Return the mean of `focus` of one sequence; entropy [heads, queries], of all keys."""
        received = attention_received(
            call.query, call.key, call.lse, heads="mean", **call.where
        )[0, 0]  # fmt: skip
        sinks.update(entry, call, received.double().cpu().numpy())
        rows = sinks.rows(entry, call)
        own = None
        if "entropy_without_sinks" in rows:
            hidden = torch.from_numpy(rows["entropy_without_sinks"][1])
            own = self._plan.of_heads(hidden).numpy()
        totals, counts = focus(entropy, visible, own, sinks.is_sink[entry] > 0)
        return float(totals.sum() / counts.sum()) if counts.any() else float("nan")


def _mean_of_range(entropies: Tensor, visible: Tensor) -> float:
    """Return the mean of H / ln(visible) of entropies [heads, queries], NaN where there is none."""
    has_range = visible >= 2
    normalized = entropies[:, has_range] / visible[has_range].double().log()
    return float(normalized[normalized.isfinite()].mean())


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
