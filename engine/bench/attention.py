"""Attention's inputs, and the right answers: float64 on the same inputs, at sampled places."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from attentropy.engine.bench.case import AttentionCase
from attentropy.engine.bench.rival import Judgement, Numbers, judge
from attentropy.engine.trace.statistics import BY_NAME, is_key
from attentropy.kernels.common import reference
from attentropy.kernels.common.mask import Mask
from attentropy.kernels.common.score import Score

_SAMPLES = 32
TILE = 128  # of the attention map


def inputs(case: AttentionCase) -> tuple[Tensor, Tensor, Tensor]:
    """Draw q [1, Hq, N, D], k and v [1, Hkv, N, D]: normal, the same in every process."""
    generator = torch.Generator(case.device).manual_seed(0)
    dtype = getattr(torch, case.dtype)

    def draw(heads: int) -> Tensor:
        shape = (1, heads, case.length, case.head_size)
        return torch.randn(shape, generator=generator, device=case.device).to(dtype)

    return draw(case.heads), draw(case.key_heads), draw(case.key_heads)


def sampled_rows(case: AttentionCase) -> list[tuple[int, int]]:
    """Return (head, query) of the rows that are checked: evenly spread, both ends included."""
    at = torch.linspace(0, case.length - 1, min(case.length, _SAMPLES)).long().tolist()
    return [(i * 7 % case.heads, position) for i, position in enumerate(at)]


def errors(
    case: AttentionCase, tensors: tuple[Tensor, ...], numbers: Numbers
) -> dict[str, Judgement]:
    """Judge each of the `numbers` that a rival computed from the input `tensors`.

    The statistics are checked at `sampled_rows`, by the bounds of the project's definitions; `map`
    and `received` at sampled tiles and keys, conditioned on `numbers["lse"]` as they are.
    """
    q, k, v = tensors
    if "map" in numbers:
        return {"map": judge(*_map_errors(case, q, k, numbers))}
    if "received" in numbers:
        return {"received": judge(*_received_errors(case, q, k, numbers))}
    rows = [_row_errors(case, q, k, v, numbers, head, query) for head, query in sampled_rows(case)]
    judgements = {}
    for name in rows[0]:
        pairs = [row[name] for row in rows]
        error, allowed = (torch.stack([pair[i] for pair in pairs]).cpu() for i in (0, 1))
        judgements[name] = judge(error, allowed)
    return judgements


def _row_errors(
    case: AttentionCase, q: Tensor, k: Tensor, v: Tensor, numbers: Numbers, head: int, row: int
) -> dict[str, tuple[Tensor, Tensor]]:
    """Return (error, allowed) of each number of one row."""
    last = row + 1 if case.causal else case.length
    keys, query = _keys(case, k, head)[:last], q[0, head, row].double()
    values = v[0, head // (case.heads // case.key_heads), :last].double()
    scale = case.head_size**-0.5
    s = keys @ query * scale
    bound = 2e-5 + 2**-20 * scale * (keys.abs() @ query.abs()).max()
    truths = reference.attention(
        query[None, None, None], keys[None, None], values[None, None],
        score=Score(scale), mask=Mask(1, last, last - 1), sinks=None,
    )  # fmt: skip
    p = s.softmax(-1)
    probability = bound.new_tensor(1e-5)
    spread = values.abs().max()
    # What a product of p, rounded to the type of v, can hold; the sum is rounded once more.
    rounding = 2e-5 if v.dtype == torch.float32 else torch.finfo(v.dtype).eps
    bounds = {
        "share": probability, "nats": bound, "nats²": bound * math.log(max(2, last)),
        "tokens": bound * last,
    }  # fmt: skip
    result = {}
    for name in numbers:
        value = numbers[name][0, head, row]
        if is_key(name):  # judged by the probability it misses, which is small at near ties
            at = value.long()
            is_inside = bool((at >= 0) & (at < last))
            missed = p.max() - p[at] if is_inside else p.new_tensor(math.inf)
            result[name] = (missed, probability)
        else:
            is_output = name == "out"
            allowed = (rounding + bound) * spread if is_output else bounds[BY_NAME[name].unit]
            result[name] = ((value.double() - truths[name][0, 0, 0]).abs().max(), allowed)
    return result


def _map_errors(
    case: AttentionCase, q: Tensor, k: Tensor, numbers: Numbers
) -> tuple[Tensor, Tensor]:
    """Return (error, allowed) of tiles on the diagonal and in the first and last columns.

    The map is the mean over the heads.
    """
    tiles, differences = numbers["map"].shape[-1], []
    for down in sorted({0, tiles // 3, tiles - 1}):
        for across in sorted({0, down // 2, down, tiles - 1}):
            queries = torch.arange(down * TILE, min(case.length, (down + 1) * TILE))
            keys = torch.arange(across * TILE, min(case.length, (across + 1) * TILE))
            mass = [_weights(case, q, k, numbers["lse"], head, queries, keys).sum() / len(queries)
                    for head in range(case.heads)]  # fmt: skip
            differences.append(
                (numbers["map"][0, 0, down, across] - torch.stack(mass).mean()).abs()
            )
    return torch.stack(differences).cpu(), torch.tensor(1e-5, dtype=torch.float64)


def _received_errors(
    case: AttentionCase, q: Tensor, k: Tensor, numbers: Numbers
) -> tuple[Tensor, Tensor]:
    """Return (relative error, allowed) of sums over all queries, at sampled keys.

    They are float32 sums of weights, each of them within its bound.
    """
    differences, queries = [], torch.arange(case.length)
    for head, key in sampled_rows(case)[::4]:
        weights = _weights(case, q, k, numbers["lse"], head, queries, queries[key : key + 1])
        expected = weights.sum()
        differences.append((numbers["received"][0, head, key] - expected).abs() / expected)
    return torch.stack(differences).cpu(), torch.tensor(1e-4, dtype=torch.float64)


def _weights(
    case: AttentionCase, q: Tensor, k: Tensor, lse: Tensor, head: int, queries: Tensor, keys: Tensor
) -> Tensor:
    """Return p of one head's rectangle in float64, [queries, keys]."""
    queries, keys = queries.to(q.device), keys.to(q.device)
    s = q[0, head, queries].double() @ _keys(case, k, head, keys).T * case.head_size**-0.5
    p = (s - lse[0, head, queries, None].double()).exp()
    return p.masked_fill(keys > queries[:, None], 0.0) if case.causal else p


def _keys(case: AttentionCase, k: Tensor, head: int, at: Tensor | slice = slice(None)) -> Tensor:
    return k[0, head // (case.heads // case.key_heads), at].double()
