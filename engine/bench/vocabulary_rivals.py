"""Who is measured for the vocabulary: ours, the bare product, and the other ways to the numbers."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from attentropy.engine.bench.case import VocabularyCase
from attentropy.engine.bench.rival import Found, Rival, Run
from attentropy.engine.bench.vocabulary import TOP
from attentropy.kernels.ops import vocabulary

OURS = "ours, top 5 and target"
_CHUNK = {"cpu": 256, "cuda": 1024}  # rows of logits that the chunked ways hold at once


def _ours(top_k: int, with_target: bool) -> Rival:
    def prepare(hidden: Tensor, unembedding: Tensor, targets: Tensor, case: VocabularyCase) -> Run:
        def run() -> Found:
            found = vars(
                vocabulary(
                    hidden, unembedding, top_k=top_k, targets=targets if with_target else None
                )
            )
            return {name: values for name, values in found.items() if values is not None}

        return run

    return Rival("ours", prepare)


def _product(hidden: Tensor, unembedding: Tensor, targets: Tensor, case: VocabularyCase) -> Run:
    """The logits alone, into memory that is there: the ceiling."""
    logits = hidden.new_empty(0)

    def run() -> Found:
        return {"logits": torch.mm(hidden, unembedding.T, out=logits)}

    return run


def _read(hidden: Tensor, unembedding: Tensor, targets: Tensor) -> tuple[Tensor, ...]:
    """All numbers of a chunk of rows, from its logits."""
    logits = (hidden @ unembedding.T).float()
    lse = logits.logsumexp(-1)
    p = logits.softmax(-1)
    entropy = lse - (p * logits).sum(-1)
    top = logits.topk(TOP, -1)
    goal = logits.gather(-1, targets[:, None])
    rank = (logits > goal).sum(-1)
    return entropy, lse, top.indices, top.values - lse[:, None], goal[:, 0] - lse, rank


_READ = ("entropy", "lse", "top_ids", "top_logprobs", "target_logprob", "target_rank")


def _chunked(compiled: bool) -> Rival:
    def prepare(hidden: Tensor, unembedding: Tensor, targets: Tensor, case: VocabularyCase) -> Run:
        read: Any = torch.compile(_read, dynamic=False) if compiled else _read
        step = _CHUNK[case.device]

        def run() -> Found:
            parts = [
                read(hidden[i : i + step], unembedding, targets[i : i + step])
                for i in range(0, case.rows, step)
            ]
            return {name: torch.cat(part) for name, *part in zip(_READ, *parts, strict=True)}

        return run

    return Rival("other", prepare, ("cuda",) if compiled else ("cpu", "cuda"))


def _liger(hidden: Tensor, unembedding: Tensor, targets: Tensor, case: VocabularyCase) -> Run:
    name = "liger_kernel.ops.fused_linear_scaled_cross_entropy"
    function: Any = import_module(name).LigerFusedLinearScaledCrossEntropyFunction

    def run() -> Found:
        loss, entropy = function.apply(hidden, unembedding, targets, return_entropy=True)
        return {"entropy": entropy, "target_logprob": -loss}

    return run


def _cut(hidden: Tensor, unembedding: Tensor, targets: Tensor, case: VocabularyCase) -> Run:
    function: Any = import_module("cut_cross_entropy").linear_cross_entropy

    def run() -> Found:
        loss = function(hidden, unembedding, targets, reduction="none")
        return {"target_logprob": -loss.float()}

    return run


RIVALS: dict[str, Rival] = {
    OURS: _ours(TOP, True),
    "ours, top 1": _ours(1, False),
    "product alone": Rival("ceiling", _product),
    "torch, chunked": _chunked(False),
    "torch.compile, chunked": _chunked(True),
    "liger, entropy and target": Rival("other", _liger, ("cuda",), "liger_kernel"),
    "cut cross entropy, target": Rival("other", _cut, ("cuda",), "cut_cross_entropy"),
}
