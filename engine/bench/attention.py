"""Attention's inputs and its right answers: float64 on the same inputs, at sampled places."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from attentropy.engine.bench.case import AttentionCase
from attentropy.engine.bench.rival import Found, judged

_SAMPLES = 32
TILE = 128  # of the attention map


def inputs(case: AttentionCase) -> tuple[Tensor, Tensor, Tensor]:
    """q [1, Hq, N, D], k and v [1, Hkv, N, D]: normal, seeded, the same in every process."""
    random = torch.Generator(case.device).manual_seed(0)
    dtype = getattr(torch, case.dtype)

    def draw(heads: int) -> Tensor:
        shape = (1, heads, case.length, case.head_size)
        return torch.randn(shape, generator=random, device=case.device).to(dtype)

    return draw(case.heads), draw(case.key_heads), draw(case.key_heads)


def rows(case: AttentionCase) -> list[tuple[int, int]]:
    """(head, query) of the rows that are checked: spread, the ends among them."""
    at = torch.linspace(0, case.length - 1, min(case.length, _SAMPLES)).long().tolist()
    return [(i * 7 % case.heads, position) for i, position in enumerate(at)]


def errors(case: AttentionCase, given: tuple[Tensor, ...], found: Found) -> dict[str, tuple]:
    """For each number in `found`: its largest error and whether it is within the bounds.

    The statistics at `rows`, by the bounds of the project's definitions; `map` and `received` at
    sampled tiles and keys, conditioned on `found["lse"]` as they are.
    """
    q, k, v = given
    if "map" in found:
        return {"map": judged(*_map(case, q, k, found))}
    if "received" in found:
        return {"received": judged(*_received(case, q, k, found))}
    truths = [_row(case, q, k, v, found, head, query) for head, query in rows(case)]
    result = {}
    for name in truths[0]:
        pairs = [truth[name] for truth in truths]
        error, allowed = (torch.stack([pair[i] for pair in pairs]).cpu() for i in (0, 1))
        result[name] = judged(error, allowed)
    return result


def _row(
    case: AttentionCase, q: Tensor, k: Tensor, v: Tensor, found: Found, head: int, row: int
) -> dict[str, tuple[Tensor, Tensor]]:
    """(error, allowed) of each number of one row."""
    last = row + 1 if case.causal else case.length
    keys, query = _keys(case, k, head)[:last], q[0, head, row].double()
    values = v[0, head // (case.heads // case.key_heads), :last].double()
    scale = case.head_size**-0.5
    s = keys @ query * scale
    bound = 2e-5 + 2**-20 * scale * (keys.abs() @ query.abs()).max()
    log_p = s.log_softmax(-1)
    p = log_p.exp()
    entropy = -(p * log_p).sum()
    probability = bound.new_tensor(1e-5)
    spread = values.abs().max()
    # What a product of p, rounded to the type of v, can hold; the sum is rounded once more.
    rounding = 2e-5 if v.dtype == torch.float32 else torch.finfo(v.dtype).eps
    distances = row - torch.arange(last, device=q.device, dtype=torch.float64)
    truths = {
        "out": (p @ values, (rounding + bound) * spread),
        "lse": (s.logsumexp(-1), bound),
        "entropy": (entropy, bound),
        "max_prob": (p.max(), probability),
        "varentropy": ((p * log_p**2).sum() - entropy**2, bound * math.log(max(2, last))),
        "distance": ((p * distances).sum(), bound * last),
        "sink_mass": (p[:4].sum(), probability),
    }
    result = {}
    for name in found:
        got = found[name][0, head, row]
        if name == "top_key":  # ties and near ties aside: the probability that it misses
            at = got.long()
            inside = bool((at >= 0) & (at < last))
            missed = p.max() - p[at] if inside else p.new_tensor(math.inf)
            result[name] = (missed, probability)
        else:
            truth, allowed = truths[name]
            result[name] = ((got.double() - truth).abs().max(), allowed)
    return result


def _map(case: AttentionCase, q: Tensor, k: Tensor, found: Found) -> tuple[Tensor, Tensor]:
    """Tiles on the diagonal, in the first column and in the last, their mean over heads."""
    tiles, error = found["map"].shape[-1], []
    for down in sorted({0, tiles // 3, tiles - 1}):
        for across in sorted({0, down // 2, down, tiles - 1}):
            queries = torch.arange(down * TILE, min(case.length, (down + 1) * TILE))
            keys = torch.arange(across * TILE, min(case.length, (across + 1) * TILE))
            mass = [_weights(case, q, k, found["lse"], head, queries, keys).sum() / len(queries)
                    for head in range(case.heads)]  # fmt: skip
            error.append((found["map"][0, 0, down, across] - torch.stack(mass).mean()).abs())
    return torch.stack(error).cpu(), torch.tensor(1e-5, dtype=torch.float64)


def _received(case: AttentionCase, q: Tensor, k: Tensor, found: Found) -> tuple[Tensor, Tensor]:
    """Relative errors of sums over all queries: float32 sums of weights within the bound."""
    error, every = [], torch.arange(case.length)
    for head, key in rows(case)[::4]:
        wanted = _weights(case, q, k, found["lse"], head, every, every[key : key + 1]).sum()
        error.append((found["received"][0, head, key] - wanted).abs() / wanted)
    return torch.stack(error).cpu(), torch.tensor(1e-4, dtype=torch.float64)


def _weights(
    case: AttentionCase, q: Tensor, k: Tensor, lse: Tensor, head: int, queries: Tensor, keys: Tensor
) -> Tensor:
    """p of one head's rectangle in float64, [queries, keys]."""
    queries, keys = queries.to(q.device), keys.to(q.device)
    s = q[0, head, queries].double() @ _keys(case, k, head, keys).T * case.head_size**-0.5
    p = (s - lse[0, head, queries, None].double()).exp()
    return p.masked_fill(keys > queries[:, None], 0.0) if case.causal else p


def _keys(case: AttentionCase, k: Tensor, head: int, at: Tensor | slice = slice(None)) -> Tensor:
    return k[0, head // (case.heads // case.key_heads), at].double()
