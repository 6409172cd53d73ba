"""What a run keeps of its placebo questions: a reference for what is usual in this template."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor, nn
from transformers import PreTrainedModel

from attentropy.engine.attention.listening import listening
from attentropy.engine.attention.plan import AttentionPlan
from attentropy.engine.attention.selfcheck import check_model
from attentropy.engine.attention.visibility import Visibility
from attentropy.engine.lens.placebo import PlaceboStates
from attentropy.engine.model.layers import layer_of
from attentropy.engine.run.prefill import Ignored
from attentropy.kernels.ops import AttentionResult


class EntropyMeans(Ignored):
    """The mean normalized attention entropy of each sequence of a batch, in one pass.

    means: [sequences, entries of the plan], over the heads that the plan keeps and over the queries
    that see two keys or more; NaN where nothing is recorded. lengths: the sequences' tokens.
    """

    def __init__(self, model: PreTrainedModel, plan: AttentionPlan, lengths: Sequence[int]) -> None:
        super().__init__(model, ("entropy",), plan.layers)
        self._plan, self._lengths = plan, lengths
        self._calls: Counter[int] = Counter()
        self.means = np.full((len(lengths), len(plan.entries)), np.nan, np.float32)

    def on_attention(
        self, module: nn.Module, tensors: Any, visibility: Visibility, score: Any,
        result: AttentionResult,
    ) -> None:  # fmt: skip
        """Take one attention call; see `hook.Listener`."""
        layer = layer_of(self.model, module)
        call = layer, self._calls[layer]
        self._calls[layer] += 1
        if result.entropy is None or call not in self._plan.entries:
            return
        entry, counts = self._plan.entries.index(call), visibility.counts(len(self._lengths))
        for i, n in enumerate(self._lengths):
            values = self._plan.of_heads(result.entropy[i, :, :n]).double().cpu()
            self.means[i, entry] = _mean_of_range(values, counts[i, :n])


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
    """What was read of the questions: states, tokens of each, and means [questions, entries]."""

    states: PlaceboStates
    lengths: np.ndarray
    means: np.ndarray

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
            "reference_lens_entropy": (("reference", "layer"), lens),
        }
