"""Entropy from PyTorch's fused attention for processors, which knows no statistic.

H = lse − Σ_j p_ij s_ij, and Σ_j p_ij s_ij = scale · q_i · Σ_j p_ij k_j: an output whose values are
the keys. So one call over values and keys side by side gives both, at less than twice the time of
the output alone. What all keys have in common would be subtracted from itself, and takes its digits
along: the keys' mean is taken off them first, which changes no weight.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from attentropy.kernels.visibility import Mask

# Bytes of keys and values side by side; heads that do not fit come after.
_BYTES = 32 * 2**20
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
    heads, group = k.shape[1], q.shape[1] // k.shape[1]
    width = k.shape[-1] + v.shape[-1] if entropy else max(k.shape[-1], v.shape[-1])
    share = max(1, _BYTES // (2 * k.shape[0] * k.shape[2] * width * k.element_size()))
    parts = [
        _heads(
            q[:, first * group : (first + share) * group], k[:, first : first + share],
            v[:, first : first + share], scale, past, entropy,
        )
        for first in range(0, heads, share)
    ]  # fmt: skip
    return {name: torch.cat([part[name] for part in parts], 1) for name in parts[0]}


def _heads(
    q: Tensor, k: Tensor, v: Tensor, scale: float, past: int, entropy: bool
) -> dict[str, Tensor]:
    size, inner = v.shape[-1], k.shape[-1]
    common = k.mean(2, keepdim=True)
    k = k - common
    values = torch.cat([v, k], -1) if entropy else v
    width = max(inner, values.shape[-1])
    wide = (torch.nn.functional.pad(x, (0, width - x.shape[-1])) for x in (q, k, values))
    out, lse = _attended(*wide, scale=scale, past=past)
    found = {"out": out[..., :size]}
    if entropy:
        mean = (q * out[..., size : size + inner]).sum(-1) * scale
        found["entropy"] = (lse - mean).clamp_min(0.0)
    common = common.repeat_interleave(q.shape[1] // k.shape[1], 1)
    found["lse"] = lse + scale * (q * common).sum(-1)
    return found


def _attended(q: Tensor, k: Tensor, v: Tensor, *, scale: float, past: int) -> tuple[Tensor, Tensor]:
    """The first `past` keys for all queries, the others in causal order, merged through lse."""
    fused: Any = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    parts = []
    if past:
        parts.append(fused(q, k[:, :, :past], v[:, :, :past], 0.0, False, scale=scale))
    if past < k.shape[2]:
        parts.append(fused(q, k[:, :, past:], v[:, :, past:], 0.0, True, scale=scale))
    if len(parts) == 1:
        return parts[0][0], parts[0][1]
    (old, old_lse), (new, new_lse) = ((out, lse.to(q.dtype)) for out, lse in parts)
    weight = torch.sigmoid(old_lse - new_lse)[..., None]
    return torch.lerp(new, old, weight), torch.logaddexp(old_lse, new_lse)
