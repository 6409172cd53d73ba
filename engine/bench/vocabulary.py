"""The vocabulary's inputs, and the right answers: float64 on the same inputs, at sampled rows."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from attentropy.engine.bench.case import VocabularyCase
from attentropy.engine.bench.rival import Judgement, Numbers, judge

_SAMPLES = 24
TOP = 5
_BLOCK = 16384  # tokens that the right answers are computed for at once


def inputs(case: VocabularyCase) -> tuple[Tensor, Tensor, Tensor]:
    """Draw hidden [M, d], unembedding [V, d] and targets [M], the same in every process.

    The logits have a standard deviation of 2.
    """
    generator = torch.Generator(case.device).manual_seed(0)
    dtype = getattr(torch, case.dtype)

    def draw(rows: int, scale: float) -> Tensor:
        shape = (rows, case.width)
        return (torch.randn(shape, generator=generator, device=case.device) * scale).to(dtype)

    hidden, unembedding = draw(case.rows, 1.0), draw(case.vocabulary, 2 * case.width**-0.5)
    targets = torch.randint(
        case.vocabulary, (case.rows,), generator=generator, device=case.device, dtype=torch.int64
    )
    return hidden, unembedding, targets


def errors(
    case: VocabularyCase, tensors: tuple[Tensor, ...], numbers: Numbers
) -> dict[str, Judgement]:
    """Judge each of the `numbers` that a rival computed from the input `tensors`, at sampled rows.

    entropy within 1e-4 nats; log-probabilities within what float32 logits hold; ranks and ids
    exact except for near ties, whose error is the gap in log-probability or in places.
    """
    hidden, unembedding, targets = tensors
    at = torch.linspace(0, case.rows - 1, min(case.rows, _SAMPLES)).long().to(hidden.device)
    truth = _truth(hidden[at], unembedding, targets[at])
    return {name: _judge_number(name, values[at], truth) for name, values in numbers.items()}


@dataclass(frozen=True)
class _Truth:
    """The right answers in float64 at n sampled rows; bound: what a float32 logit can be off by."""

    bound: Tensor
    logits: Tensor  # [n, V]
    lse: Tensor  # [n]
    log_p: Tensor  # [n, V]
    target: Tensor  # ln P of the targets, [n, 1]
    top: Tensor  # the largest ln P, [n, TOP]


def _truth(hidden: Tensor, unembedding: Tensor, targets: Tensor) -> _Truth:
    x = hidden.double()
    parts, weight = [], x.new_zeros(())
    for block in unembedding.split(_BLOCK):
        parts.append(x @ block.double().T)
        weight = torch.maximum(weight, (x.abs() @ block.double().abs().T).max())
    logits = torch.cat(parts, -1)
    lse = logits.logsumexp(-1)
    log_p = logits - lse[:, None]
    return _Truth(
        bound=2e-5 + 2**-20 * weight,
        logits=logits,
        lse=lse,
        log_p=log_p,
        target=log_p.gather(-1, targets[:, None]),
        top=log_p.topk(TOP, -1).values,
    )


def _judge_number(name: str, values: Tensor, truth: _Truth) -> Judgement:
    """Judge one number at the sampled rows."""
    bound, log_p = truth.bound, truth.log_p
    if name == "logits":
        spread = truth.logits.abs().amax() * torch.finfo(values.dtype).eps
        return judge((values.double() - truth.logits).abs(), bound + spread)
    if name == "entropy":
        return judge((values.double() + (log_p.exp() * log_p).sum(-1)).abs(), 1e-4)
    if name == "lse":
        return judge((values.double() - truth.lse).abs(), bound)
    if name == "target_logprob":
        return judge((values.double() - truth.target[:, 0]).abs(), 2 * bound)
    if name == "top_ids":
        logprobs = log_p.gather(-1, values.long())
        return judge((logprobs - truth.top[:, : values.shape[1]]).abs(), 2 * bound)
    if name == "top_logprobs":
        return judge((values.double() - truth.top[:, : values.shape[1]]).abs(), 2 * bound)
    if name == "target_rank":
        low = (log_p > truth.target + 2 * bound).sum(-1)
        high = (log_p > truth.target - 2 * bound).sum(-1)
        distance = torch.maximum(low - values, values - high).clamp_min(0)
        return judge(distance.double(), 0.0)
    raise ValueError(f"no reference values for {name}")
