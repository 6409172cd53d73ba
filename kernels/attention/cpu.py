"""Entropy from PyTorch's fused attention for processors, which knows no statistic.

H = lse − Σ_j p_ij s_ij, and Σ_j p_ij s_ij = scale · q_i · Σ_j p_ij k_j: an output whose values are
the keys. So one call over values and keys side by side gives both, at less than twice the time of
the output alone. What all keys have in common would be subtracted from itself, and takes its digits
along: the keys' mean is taken off them first, which changes no weight.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from attentropy.kernels.common.mask import Mask

Part = tuple[Tensor, Tensor]  # output, lse

# Bytes of the keys and values that lie side by side at once; the others come after, merged exactly.
_BYTES = 4 * 2**20
_RUN = 1024  # keys that are taken together in any case
# Fewer queries do not pay for laying them out so.
_QUERIES = 32


def takes(q: Tensor, k: Tensor, mask: Mask, stats: tuple[str, ...], bent: bool) -> bool:
    """Whether `attention` computes it: all keys before a query are seen, by position alone, their
    scores are products (not `bent`), and no other statistic is asked for."""
    return (
        q.device.type == "cpu"
        and not bent
        and set(stats) <= {"entropy", "sink_prob"}
        and mask.is_plain
        and mask.queries >= _QUERIES
        and (0 <= mask.query_offset <= mask.keys - mask.queries or not mask.causal)
        and min(q.numel(), k.numel()) > 0
    )


def attention(
    q: Tensor, k: Tensor, v: Tensor, *, scale: float, mask: Mask, entropy: bool
) -> dict[str, Tensor]:
    """Output [B, Hq, Nq, Dv], lse and, where asked for, entropy [B, Hq, Nq], in the type of q, k
    and v, which is float32 or float64."""
    past = mask.query_offset if mask.causal else mask.keys
    if mask.causal:  # what comes after the last query is never seen
        k, v = k[:, :, : past + mask.queries], v[:, :, : past + mask.queries]
    common = k.mean(2, keepdim=True)
    size, inner = v.shape[-1], k.shape[-1]
    width = size + inner if entropy else max(size, inner)
    wide = _padded(q, width)
    length = max(_RUN, _BYTES // (2 * k[:, :, 0].numel() // inner * width * k.element_size()))
    edges = [*range(0, past, length), past]

    def runs() -> Iterator[Part]:
        for first, last in [*pairwise(edges), (past, k.shape[2])]:
            if first == last:
                continue
            keys = k[:, :, first:last] - common
            values = v[:, :, first:last]
            values = torch.cat([values, keys], -1) if entropy else values
            yield _fused(wide, _padded(keys, width), _padded(values, width), first == past, scale)

    out, lse = reduce(_merged, runs())
    found = {"out": out[..., :size].contiguous()}
    if entropy:
        mean = (q * out[..., size : size + inner]).sum(-1) * scale
        found["entropy"] = (lse - mean).clamp_min(0.0)
    common = common.repeat_interleave(q.shape[1] // k.shape[1], 1)
    found["lse"] = lse + scale * (q * common).sum(-1)
    return found


def _merged(one: Part, other: Part) -> Part:
    """Attention over the keys of both."""
    share = torch.sigmoid(one[1] - other[1])[..., None]
    return torch.lerp(other[0], one[0], share), torch.logaddexp(one[1], other[1])


def _padded(x: Tensor, width: int) -> Tensor:
    return torch.nn.functional.pad(x, (0, width - x.shape[-1]))


def _fused(q: Tensor, k: Tensor, v: Tensor, causal: bool, scale: float) -> Part:
    """Output and lse; causal order begins at the first key."""
    found: Any = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        q, k, v, 0.0, causal, scale=scale
    )
    return found[0], found[1].to(q.dtype)
