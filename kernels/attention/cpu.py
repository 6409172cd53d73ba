"""Entropy on a CPU from PyTorch's fused attention, which itself returns no statistic.

H = lse − Σ_j p_ij s_ij, and Σ_j p_ij s_ij = scale · q_i · Σ_j p_ij k_j, an attention output whose
values are the keys. So one call whose values are values and keys side by side gives both, in less
than twice the time of the output alone. A part that all keys share would cancel in H and take
digits with it, so the first key is subtracted from them, which changes no weight: it is the sink
of most rows with next to no entropy, and every row sees it. Such rows with another top key are
computed again on their own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import reduce
from itertools import pairwise

import torch
from torch import Tensor

from attentropy.kernels.common.mask import Mask
from attentropy.kernels.common.score import Score
from attentropy.kernels.common.statistics import STATISTICS

Part = tuple[Tensor, Tensor]  # output, lse

# Bytes of keys and values that are laid side by side at once; runs of keys are merged exactly.
_BYTES = 4 * 2**20
_RUN = 1024  # the fewest keys in a run
# For fewer queries the layout costs more than it saves.
_QUERIES = 32
# Rows below so many nats are computed again where rounding may be more than a fiftieth of them.
_LOW, _SHARE = 1e-4, 0.02
_SCORES = 2**19  # of such rows, alive at once


def supports(q: Tensor, k: Tensor, mask: Mask, stats: tuple[str, ...], score: Score) -> bool:
    """Return whether `attention` can compute the call.

    It can where the tensors are on a CPU, a query's position alone decides which keys it sees (the
    first key among them), scores are products with a positive scale, and no statistic but `on_cpu`
    ones is requested.
    """
    return (
        q.device.type == "cpu"
        and score.is_product
        and score.scale > 0  # with others PyTorch's kernel returns NaN
        and all(STATISTICS[name].on_cpu or STATISTICS[name].needs_sinks for name in stats)
        and mask.is_plain
        and mask.queries >= _QUERIES
        and (0 <= mask.query_offset <= mask.keys - mask.queries or not mask.causal)
        and min(q.numel(), k.numel()) > 0
    )


def attention(
    q: Tensor, k: Tensor, v: Tensor, *, scale: float, mask: Mask, entropy: bool
) -> dict[str, Tensor] | None:
    """Return output [B, Hq, Nq, Dv], lse and, on request, entropy [B, Hq, Nq].

    q, k, v and the results are all float32 or all float64. None where a result is NaN or inf: the
    kernel multiplies keys that a row does not see by 0, and 0 · NaN is NaN.
    """
    past = mask.query_offset if mask.causal else mask.keys
    if mask.causal:  # no query sees the keys after the last one
        k, v = k[:, :, : past + mask.queries], v[:, :, : past + mask.queries]
    common = k[:, :, :1]
    size, inner = v.shape[-1], k.shape[-1]
    width = size + inner if entropy else max(size, inner)
    queries = _pad(q, width)
    length = max(_RUN, _BYTES // (2 * k[:, :, 0].numel() // inner * width * k.element_size()))
    edges = [*range(0, past, length), past]

    def runs() -> Iterator[Part]:
        for first, last in [*pairwise(edges), (past, k.shape[2])]:
            if first == last:
                continue
            keys = k[:, :, first:last] - common
            values = v[:, :, first:last]
            values = torch.cat([values, keys], -1) if entropy else values
            yield _attend(queries, _pad(keys, width), _pad(values, width), first == past, scale)

    out, lse = reduce(_merge, runs())
    result = {"out": out[..., :size].contiguous()}
    if entropy:
        products = (q * out[..., size : size + inner]).mul_(scale)
        result["entropy"] = (lse - products.sum(-1)).clamp_min_(0.0)
        rounding = products.abs_().sum(-1).add_(lse.abs()).mul_(torch.finfo(q.dtype).eps)
    common = common.repeat_interleave(q.shape[1] // k.shape[1], 1)
    result["lse"] = lse + scale * (q * common).sum(-1)
    if not all(math.isfinite(float(x.sum())) for x in result.values()):
        return None
    if entropy:
        is_low = result["entropy"] - 8 * rounding < _LOW
        is_low &= result["entropy"] * _SHARE < rounding
        _refine(result["entropy"], is_low, q, k, scale, past if mask.causal else None)
    return result


def _refine(
    entropy: Tensor, is_low: Tensor, q: Tensor, k: Tensor, scale: float, past: int | None
) -> None:
    """Compute the entropies of some rows [B, Hq, Nq] again, from their weights but the largest.

    past: the position of the first query in causal order, None without.
    """
    step = max(1, _SCORES // k.shape[2])
    for batch, head in is_low.any(-1).nonzero().tolist():
        keys = k[batch, head // (q.shape[1] // k.shape[1])]
        for rows in is_low[batch, head].nonzero()[:, 0].split(step):
            last = keys.shape[0] if past is None else past + int(rows[-1]) + 1
            z = q[batch, head, rows].mul(scale) @ keys[:last].T
            if past is not None:
                hidden = torch.arange(last) > past + rows[:, None]
                z.masked_fill_(hidden, -torch.inf)
            top, column = z.max(-1, keepdim=True)
            p = z.sub_(top).exp().scatter_(-1, column, 0.0)  # the largest weight is 1
            rest = p.sum(-1)
            t = p.mul_(z.masked_fill_(p == 0, 0.0)).sum(-1)
            entropy[batch, head, rows] = rest.log1p() - t / (1 + rest)


def _merge(one: Part, other: Part) -> Part:
    """Return attention over the keys of both parts."""
    share = torch.sigmoid(one[1] - other[1])[..., None]
    return torch.lerp(other[0], one[0], share), torch.logaddexp(one[1], other[1])


def _pad(x: Tensor, width: int) -> Tensor:
    return torch.nn.functional.pad(x, (0, width - x.shape[-1]))


def _attend(q: Tensor, k: Tensor, v: Tensor, causal: bool, scale: float) -> Part:
    """Return output and lse; causal order begins at the first key."""
    out, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        q, k, v, 0.0, causal, scale=scale
    )[:2]
    return out, lse.to(q.dtype)
