"""Vocabulary statistics in plain PyTorch on any device: blocks of rows and of the vocabulary.

No logits are stored: one block of at most `_BLOCK` of them is alive at once.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_BLOCK = 2**19


def vocabulary(
    hidden: Tensor,
    unembedding: Tensor,
    *,
    bias: Tensor | None,
    scale: float,
    softcap: float | None,
    top_k: int,
    targets: Tensor | None,
    final: Tensor | None,
) -> dict[str, Tensor]:
    """Entropy, lse, kl [N]; top-k [N, k]; target statistics [N, T], as the contract has them."""
    exact = torch.float64 if hidden.dtype == torch.float64 else torch.float32
    wanted = None
    if targets is not None:
        wanted = targets.long() if targets.ndim == 2 else targets.long()[:, None]
    step = 512
    parts = [
        _vocabulary_rows(
            hidden[first : first + step].to(exact),
            unembedding,
            bias,
            scale,
            softcap,
            top_k,
            None if wanted is None else wanted[first : first + step],
            None if final is None else final[first : first + step].to(exact),
        )
        for first in range(0, max(1, len(hidden)), step)
    ]
    result = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    if targets is not None:
        for name in ("target_logprob", "target_rank"):
            result[name] = result[name].view(targets.shape)
    return result


def _logits(raw: Tensor, bias: Tensor | None, scale: float, softcap: float | None) -> Tensor:
    """Products with the unembedding to logits, in place."""
    if bias is not None:
        raw += bias.to(raw.dtype)
    if scale != 1.0:
        raw *= scale
    if softcap is not None:
        raw.div_(softcap).tanh_().mul_(softcap)
    return raw


def _vocabulary_rows(
    hidden: Tensor,
    unembedding: Tensor,
    bias: Tensor | None,
    scale: float,
    softcap: float | None,
    top_k: int,
    targets: Tensor | None,
    final: Tensor | None,
) -> dict[str, Tensor]:
    rows, size = len(hidden), len(unembedding)
    width = max(top_k, 64, _BLOCK // max(1, rows))
    m = hidden.new_full((rows,), -math.inf)
    l, t = hidden.new_zeros(rows), hidden.new_zeros(rows)
    # Of the final layer: its own maximum and sum, and Σ e^{z_f} (z_f − z) for the divergence.
    m_f, l_f, r = torch.full_like(m, -math.inf), torch.zeros_like(m), torch.zeros_like(m)
    best = hidden.new_empty(rows, 0)
    ids = torch.empty(rows, 0, dtype=torch.int64, device=hidden.device)
    goal = rank = None
    if targets is not None:
        rank = torch.zeros_like(targets)
        chosen = unembedding[targets].to(hidden.dtype)  # [n, T, d]
        raw = torch.linalg.vecdot(chosen, hidden[:, None, :])
        goal = _logits(raw, None if bias is None else bias[targets], scale, softcap)
    for left in range(0, size, width):
        right = min(size, left + width)
        raw = hidden @ unembedding[left:right].to(hidden.dtype).T
        logits = _logits(raw, None if bias is None else bias[left:right], scale, softcap)
        if top_k:
            best, ids = _merge_top(best, ids, logits, left, top_k)
        if goal is not None and rank is not None and targets is not None:
            _count_above(rank, logits, goal, targets, left)
        highest = torch.maximum(m, logits.amax(-1))
        shift = torch.where(m == -math.inf, 0.0, m - highest)
        z = logits.sub_(highest[:, None])
        p = z.exp()
        t = shift.exp() * (t + shift * l) + torch.linalg.vecdot(p, z)
        l = shift.exp() * l + p.sum(-1)
        m = highest
        if final is not None:
            raw = final @ unembedding[left:right].to(hidden.dtype).T
            z_f = _logits(raw, None if bias is None else bias[left:right], scale, softcap)
            highest = torch.maximum(m_f, z_f.amax(-1))
            shift_f = torch.where(m_f == -math.inf, 0.0, m_f - highest)
            p_f = z_f.sub_(highest[:, None]).exp()
            r = shift_f.exp() * (r + (shift_f - shift) * l_f) + torch.linalg.vecdot(p_f, z_f - z)
            l_f = shift_f.exp() * l_f + p_f.sum(-1)
            m_f = highest
    lse = m + l.log()
    done = {
        "entropy": (l.log() - t / l).clamp_min(0.0),
        "lse": lse,
        "top_ids": ids.int(),
        "top_logprobs": best - lse[:, None],
    }
    if final is not None:
        done["kl"] = (r / l_f + (l / l_f).log()).clamp_min(0.0)
    if goal is not None and rank is not None and targets is not None:
        # A target among the top k has that very rank, however its logit was rounded.
        if top_k:
            among = ids[:, None, :] == targets[:, :, None]
            rank = torch.where(among.any(-1), among.int().argmax(-1), rank)
        done["target_logprob"] = goal - lse[:, None]
        done["target_rank"] = rank.int()
    return done


def _merge_top(
    best: Tensor, ids: Tensor, logits: Tensor, left: int, top_k: int
) -> tuple[Tensor, Tensor]:
    """The k largest so far with this block's, ties to the lower id, in descending order."""
    k = min(top_k, logits.shape[-1])
    values, where = logits.topk(k, -1)
    # topk picks freely among equal values at its edge: redo such rows with a stable sort.
    tied = (logits >= values[:, -1:]).sum(-1) > k
    if bool(tied.any()):
        order = logits[tied].sort(dim=-1, descending=True, stable=True)
        values[tied], where[tied] = order.values[:, :k], order.indices[:, :k]
    where, by_id = where.sort(-1)
    values = values.gather(-1, by_id)
    values, where = torch.cat([best, values], -1), torch.cat([ids, where + left], -1)
    order = values.sort(dim=-1, descending=True, stable=True)
    chosen = order.indices[:, :top_k]
    return order.values[:, :top_k], where.gather(-1, chosen)


def _count_above(rank: Tensor, logits: Tensor, goal: Tensor, targets: Tensor, left: int) -> None:
    """Add to `rank` [n, T] the number of this block's entries that come before each target."""
    ids = torch.arange(left, left + logits.shape[-1], device=logits.device)
    for i in range(targets.shape[1]):
        value, target = goal[:, i : i + 1], targets[:, i : i + 1]
        before = (logits > value) | ((logits == value) & (ids < target))
        rank[:, i] += (before & (ids != target)).sum(-1)
