"""Measure the induction score of every head in a short pass over repeated random tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from attentropy.engine.attention.hook import Listener
from attentropy.engine.attention.listening import listening
from attentropy.engine.attention.selfcheck import check_model
from attentropy.engine.attention.visibility import Visibility
from attentropy.engine.maps.head_scores import SCORES
from attentropy.engine.model.devices import input_device
from attentropy.engine.model.layers import layer_of
from attentropy.kernels.common.implementations import Implementation
from attentropy.kernels.ops import AttentionResult
from attentropy.kernels.sweep import attention_at

# Short enough for the windows of 128 keys that some models slide.
REPEATED_TOKENS = 64
_SEED = 0


def repeated_tokens(
    ordinary: Sequence[int], *, first: int | None = None, positions: int | None = None
) -> list[int]:
    """Return `first`, where the model has such a token, and random ordinary ids twice over.

    The ids are all different, and `first` begins a sequence. The list is empty where `positions`,
    or the ids, are too few for `HeadScore.keys_needed` of them.
    """
    beginning = [] if first is None else [first]
    room = REPEATED_TOKENS if positions is None else (positions - len(beginning)) // 2
    length = min(REPEATED_TOKENS, room, len(ordinary))
    if length < SCORES["induction"].keys_needed:
        return []
    random = torch.Generator().manual_seed(_SEED)
    order = torch.randperm(len(ordinary), generator=random)[:length].tolist()
    ids = [ordinary[i] for i in order]
    return [*beginning, *ids, *ids]


def ordinary_ids(tokenizer: Any, vocabulary: int) -> list[int]:
    """Return the ids of text: no special or added tokens, none beyond the tokenizer."""
    added = getattr(tokenizer, "get_added_vocab", dict)  # mistral_common's tokenizers have none
    special = {*tokenizer.all_special_ids, *added().values()}
    return [i for i in range(min(vocabulary, len(tokenizer))) if i not in special]


class InductionProbe(Listener):
    """The heads' induction scores in a pass over `ids`, by attention call.

    A score is a head's mean weight on the key after the previous occurrence of the query's token
    (Olsson et al. 2022, arXiv 2209.11895).

    `scores` [heads] by (layer, call); NaN where no query sees that key.
    """

    stats: tuple[str, ...] = ()
    impl: Implementation | None = None

    def __init__(self, model: Any, ids: Sequence[int]) -> None:
        self.model = model
        self.keys = torch.tensor(_after_previous(ids))
        self.scores: dict[tuple[int, int], np.ndarray] = {}

    def on_attention(
        self,
        module: nn.Module,
        tensors: tuple[Tensor, Tensor, Tensor],
        visibility: Visibility,
        score: dict[str, Any],
        result: AttentionResult,
    ) -> None:
        """See `hook.Listener`."""
        layer = layer_of(self.model, module)
        index = sum(1 for at, _ in self.scores if at == layer)
        query, key, _ = tensors
        where = score | visibility.arguments()
        sees = visibility.mask.visible_pairs(self.keys[None])[0]
        keys = torch.where(sees, self.keys, -1)[None].to(result.lse.device)
        weights = attention_at(query, key, result.lse, keys, **where)[0]
        n = int(sees.sum())
        total = weights.float().sum(-1).cpu().numpy()
        self.scores[layer, index] = total / n if n else np.full_like(total, np.nan)


def induction_scores(model: Any, ids: Sequence[int]) -> dict[tuple[int, int], np.ndarray]:
    """Return the scores [heads] of each attention call (layer, call); empty without tokens.

    ids: `repeated_tokens`, which `model` reads in a pass of its own, without a cache.
    """
    if not ids:
        return {}
    probe = InductionProbe(model, ids)
    input_ids = torch.tensor([list(ids)], device=input_device(model))
    with torch.no_grad(), listening(model, probe, masks_built=check_model(model).masks_built):
        model(input_ids, use_cache=False, logits_to_keep=1)
    return probe.scores


def uniform_induction(ids: Sequence[int]) -> float:
    """Return the score over `ids` of rows that weigh all keys up to their own alike."""
    rows = [i for i, key in enumerate(_after_previous(ids)) if key >= 0]
    return float(np.mean([1 / (i + 1) for i in rows])) if rows else float("nan")


def _after_previous(ids: Sequence[int]) -> list[int]:
    """Return the position after each token's previous occurrence; −1 for one that has none."""
    latest: dict[int, int] = {}
    positions = []
    for i, token in enumerate(ids):
        positions.append(latest.get(token, -2) + 1)
        latest[token] = i
    return positions
