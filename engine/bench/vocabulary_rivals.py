"""The ways to compute the vocabulary's numbers: ours, the bare product, and the others."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from attentropy.engine.bench.case import VocabularyCase
from attentropy.engine.bench.rival import Numbers, Rival, Run
from attentropy.engine.bench.vocabulary import TOP
from attentropy.kernels.ops import vocabulary

OURS = "ours, top 5 and target"
_CHUNK = {"cpu": 256, "cuda": 1024}  # rows of logits that the chunked ways hold at once


def _our_vocabulary(top_k: int, with_target: bool) -> Rival:
    def prepare(hidden: Tensor, unembedding: Tensor, targets: Tensor, case: VocabularyCase) -> Run:
        def run() -> Numbers:
            result = vocabulary(
                hidden, unembedding, top_k=top_k, targets=targets if with_target else None
            )
            return {name: values for name, values in vars(result).items() if values is not None}

        return run

    return Rival("ours", prepare)


def _prepare_product(
    hidden: Tensor, unembedding: Tensor, targets: Tensor, case: VocabularyCase
) -> Run:
    """Prepare the logits alone, into memory that is allocated already: the upper bound."""
    logits = hidden.new_empty(0)

    def run() -> Numbers:
        return {"logits": torch.mm(hidden, unembedding.T, out=logits)}

    return run


def _read_rows(hidden: Tensor, unembedding: Tensor, targets: Tensor) -> tuple[Tensor, ...]:
    """Return `_NUMBERS` of a chunk of rows, from its logits."""
    logits = (hidden @ unembedding.T).float()
    lse = logits.logsumexp(-1)
    p = logits.softmax(-1)
    entropy = lse - (p * logits).sum(-1)
    top = logits.topk(TOP, -1)
    target = logits.gather(-1, targets[:, None])
    rank = (logits > target).sum(-1)
    return entropy, lse, top.indices, top.values - lse[:, None], target[:, 0] - lse, rank


_NUMBERS = ("entropy", "lse", "top_ids", "top_logprobs", "target_logprob", "target_rank")


def _torch_chunked(compiled: bool) -> Rival:
    def prepare(hidden: Tensor, unembedding: Tensor, targets: Tensor, case: VocabularyCase) -> Run:
        read_rows: Callable[..., tuple[Tensor, ...]] = _read_rows
        if compiled:
            read_rows = torch.compile(_read_rows, dynamic=False)
        step = _CHUNK[case.device]

        def run() -> Numbers:
            parts = [
                read_rows(hidden[i : i + step], unembedding, targets[i : i + step])
                for i in range(0, case.rows, step)
            ]
            return {name: torch.cat(part) for name, *part in zip(_NUMBERS, *parts, strict=True)}

        return run

    return Rival("other", prepare, ("cuda",) if compiled else ("cpu", "cuda"))


def _prepare_liger(
    hidden: Tensor, unembedding: Tensor, targets: Tensor, case: VocabularyCase
) -> Run:
    name = "liger_kernel.ops.fused_linear_scaled_cross_entropy"
    function: Any = import_module(name).LigerFusedLinearScaledCrossEntropyFunction

    def run() -> Numbers:
        loss, entropy = function.apply(hidden, unembedding, targets, return_entropy=True)
        return {"entropy": entropy, "target_logprob": -loss}

    return run


def _prepare_cut(hidden: Tensor, unembedding: Tensor, targets: Tensor, case: VocabularyCase) -> Run:
    function: Any = import_module("cut_cross_entropy").linear_cross_entropy

    def run() -> Numbers:
        loss = function(hidden, unembedding, targets, reduction="none")
        return {"target_logprob": -loss.float()}

    return run


RIVALS: dict[str, Rival] = {
    OURS: _our_vocabulary(TOP, True),
    "ours, top 1": _our_vocabulary(1, False),
    "product alone": Rival("ceiling", _prepare_product),
    "torch, chunked": _torch_chunked(False),
    "torch.compile, chunked": _torch_chunked(True),
    "liger, entropy and target": Rival("other", _prepare_liger, ("cuda",), "liger_kernel"),
    "cut cross entropy, target": Rival("other", _prepare_cut, ("cuda",), "cut_cross_entropy"),
}
