"""The vocabulary's inputs and its right answers: float64 on the same inputs, at sampled rows."""

from __future__ import annotations

import torch
from torch import Tensor

from attentropy.engine.bench.case import VocabularyCase
from attentropy.engine.bench.rival import Found, judged

_SAMPLES = 24
TOP = 5
_BLOCK = 16384  # tokens that the truth is computed for at once


def inputs(case: VocabularyCase) -> tuple[Tensor, Tensor, Tensor]:
    """hidden [M, d], unembedding [V, d] (logits of standard deviation 2), targets [M]; seeded."""
    random = torch.Generator(case.device).manual_seed(0)
    dtype = getattr(torch, case.dtype)

    def draw(rows: int, scale: float) -> Tensor:
        shape = (rows, case.width)
        return (torch.randn(shape, generator=random, device=case.device) * scale).to(dtype)

    hidden, unembedding = draw(case.rows, 1.0), draw(case.vocabulary, 2 * case.width**-0.5)
    targets = torch.randint(
        case.vocabulary, (case.rows,), generator=random, device=case.device, dtype=torch.int64
    )
    return hidden, unembedding, targets


def errors(
    case: VocabularyCase, given: tuple[Tensor, ...], found: Found
) -> dict[str, tuple[float, bool]]:
    """For each number in `found`: its largest error on sampled rows and whether it is allowed.

    entropy within 1e-4 nats; log-probabilities within what float32 logits hold; ranks and ids
    exact but for near ties, whose error is the gap in log-probability or in places.
    """
    hidden, unembedding, targets = given
    at = torch.linspace(0, case.rows - 1, min(case.rows, _SAMPLES)).long().to(hidden.device)
    x, wanted = hidden[at].double(), targets[at, None]
    parts, weight = [], x.new_zeros(())
    for block in unembedding.split(_BLOCK):
        parts.append(x @ block.double().T)
        weight = torch.maximum(weight, (x.abs() @ block.double().abs().T).max())
    bound = 2e-5 + 2**-20 * weight
    logits = torch.cat(parts, -1)
    lse = logits.logsumexp(-1)
    log_p = logits - lse[:, None]
    goal = log_p.gather(-1, wanted)
    best = log_p.topk(TOP, -1).values
    result = {}
    for name, values in found.items():
        got = values[at] if name != "logits" else values[at].double()
        if name == "logits":
            spread = logits.abs().amax() * torch.finfo(values.dtype).eps
            result[name] = judged((got - logits).abs(), bound + spread)
        elif name == "entropy":
            truth = -(log_p.exp() * log_p).sum(-1)
            result[name] = judged((got.double() - truth).abs(), 1e-4)
        elif name == "lse":
            result[name] = judged((got.double() - lse).abs(), bound)
        elif name == "target_logprob":
            result[name] = judged((got.double() - goal[:, 0]).abs(), 2 * bound)
        elif name == "top_ids":
            chosen = log_p.gather(-1, got.long())
            result[name] = judged((chosen - best[:, : got.shape[1]]).abs(), 2 * bound)
        elif name == "top_logprobs":
            result[name] = judged((got.double() - best[:, : got.shape[1]]).abs(), 2 * bound)
        elif name == "target_rank":
            low = (log_p > goal + 2 * bound).sum(-1)
            high = (log_p > goal - 2 * bound).sum(-1)
            result[name] = judged(torch.maximum(low - got, got - high).clamp_min(0).double(), 0.0)
    return result
