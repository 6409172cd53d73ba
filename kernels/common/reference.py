"""The definitions in float64 with every score in memory: what all other code is tested against."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from attentropy.kernels.common.mask import Mask
from attentropy.kernels.common.score import Score, repeat_heads


def scores(q: Tensor, k: Tensor, *, score: Score, offset: int) -> Tensor:
    """Return s_ij after scale, softcap and ALiBi, [B, Hq, Nq, Nk] float64, every key visible."""
    s = q.double() @ repeat_heads(k.double(), q.shape[1]).transpose(-1, -2) * score.scale
    if score.softcap is not None:
        s = score.softcap * torch.tanh(s / score.softcap)
    if score.slopes is not None:
        i = torch.arange(q.shape[2], device=q.device)[:, None] + offset
        j = torch.arange(k.shape[2], device=q.device)[None, :]
        s = s - score.slopes.double()[:, None, None] * (i - j)
    return s


def visible(batch: int, mask: Mask) -> Tensor:
    """Return which keys each query sees, [B, 1, Nq, Nk] bool, rule by rule as documented."""
    keys = mask.keys
    pairs = torch.zeros(batch, 1, mask.queries, keys, dtype=torch.bool)
    for b in range(batch):
        start = 0 if mask.key_starts is None else int(mask.key_starts[b])
        stop = keys if mask.key_lengths is None else start + int(mask.key_lengths[b])
        i = torch.arange(mask.queries)[:, None] + mask.query_offset
        j = torch.arange(keys)[None, :]
        rule = ((j >= start) & (j < stop)).expand(mask.queries, keys).clone()
        if mask.causal:
            last = i
            if mask.last_keys is not None:
                own = mask.last_keys[b].cpu()[i.clamp(0, keys - 1)]
                last = torch.where((i >= 0) & (i < keys), own, i)
            rule &= j <= last
        if mask.window is not None:
            rule &= (i - j < mask.window) if mask.causal else ((i - j).abs() < mask.window)
        if mask.chunk is not None:
            rule &= (j - start).div(mask.chunk, rounding_mode="floor") == (i - start).div(
                mask.chunk, rounding_mode="floor"
            )
        if mask.segments is not None:
            row = mask.segments[b].cpu()
            rule &= row[i.clamp(0, keys - 1)] == row[j]
        pairs[b, 0] = rule
    return pairs


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    score: Score,
    mask: Mask,
    sinks: Tensor | None,
) -> dict[str, Tensor]:
    """Return output, lse and every statistic of `AttentionResult`, float64."""
    offset, starts = mask.query_offset, mask.key_starts
    s = scores(q, k, score=score, offset=offset)
    pairs = visible(q.shape[0], mask).to(s.device).expand_as(s)
    s = s.masked_fill(~pairs, -math.inf)
    # A softmax over NaN or +inf is NaN; a score of −inf is a weight of 0.
    is_wrong = (s.isnan() | (s == math.inf)).any(-1)
    lse = torch.logsumexp(s, -1).masked_fill(is_wrong, math.nan)
    has_key = lse != -math.inf
    log_p = s - lse.masked_fill(~has_key, math.inf)[..., None]
    p = torch.where(pairs, log_p.exp(), 0.0)
    log_p = torch.where(p == 0, 0.0, log_p)
    entropy = -(p * log_p).sum(-1)
    i = torch.arange(q.shape[2], device=s.device)[:, None] + offset
    j = torch.arange(k.shape[2], device=s.device)[None, :]
    first = torch.zeros(1, 1, 1, 1, dtype=torch.int64, device=s.device)
    if starts is not None:
        first = starts.to(s.device)[:, None, None, None]
    early = (j >= first) & (j < first + 4)
    stats = {
        "entropy": entropy,
        "max_prob": p.amax(-1) if p.shape[-1] else p.sum(-1),
        "max_logit": (s.amax(-1) if s.shape[-1] else lse).masked_fill(is_wrong, math.nan),
        "varentropy": (p * (log_p + entropy[..., None]) ** 2).sum(-1),
        "distance": (p * (i - j)).sum(-1),
        "sink_mass": (p * early).sum(-1),
    }
    stats = {name: torch.where(has_key, value, math.nan) for name, value in stats.items()}
    top = s.argmax(-1) if s.shape[-1] else torch.zeros_like(lse)
    stats["top_key"] = torch.where(has_key & ~is_wrong, top, -1).int()
    stats["lse"] = lse
    weights = p
    if sinks is not None:
        sink = sinks.double()[None, :, None]
        stats["sink_prob"] = torch.sigmoid(sink - lse)
        weights = p * (1 - stats["sink_prob"])[..., None]
    stats["out"] = _weighted(
        weights, repeat_heads(v.double(), q.shape[1]), pairs & has_key[..., None]
    )
    return stats


def _weighted(weights: Tensor, v: Tensor, pairs: Tensor) -> Tensor:
    """Return Σ_j p_ij v_j over the keys j that a query sees: of others, 0 · NaN does not count."""
    is_odd = ~v.isfinite().all(-1)  # [B, Hq, Nk]
    out = weights @ v.masked_fill(is_odd[..., None], 0.0)
    for j in is_odd.flatten(0, 1).any(0).nonzero()[:, 0].tolist():
        term = weights[..., j, None] * v[:, :, None, j]
        out += torch.where((pairs & is_odd[:, :, None])[..., j, None], term, 0.0)
    return out


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
    """Return every statistic of `VocabularyResult` from all logits [N, V] in float64."""

    def to_logits(states: Tensor) -> Tensor:
        logits = states.double() @ unembedding.double().T
        if bias is not None:
            logits = logits + bias.double()
        logits = logits * scale
        return logits if softcap is None else softcap * torch.tanh(logits / softcap)

    logits = to_logits(hidden)
    is_wrong = (logits.isnan() | (logits == math.inf)).any(-1) | (logits == -math.inf).all(-1)
    lse = torch.logsumexp(logits, -1).masked_fill(is_wrong, math.nan)
    log_p = logits - lse[:, None]
    p = log_p.exp()
    # Where a row has no order, all its logits count as equal.
    ordered = logits.masked_fill(is_wrong[:, None], 0.0).sort(dim=-1, descending=True, stable=True)
    stats = {
        "entropy": -torch.where(p == 0, 0.0, p * log_p).sum(-1),
        "lse": lse,
        "top_ids": ordered.indices[:, :top_k].int(),
        "top_logprobs": log_p.gather(-1, ordered.indices[:, :top_k]),
    }
    if targets is not None:
        rank_of = ordered.indices.argsort(-1)
        stats["target_logprob"] = log_p.gather(-1, targets.long())
        stats["target_rank"] = rank_of.gather(-1, targets.long()).int()
    if final is not None:
        log_f = to_logits(final).log_softmax(-1)
        log_f = log_f.repeat(len(logits) // max(1, len(log_f)), 1)  # for each layer's rows
        f = log_f.exp()
        kl = torch.where(f == 0, 0.0, f * (log_f - log_p)).sum(-1)
        stats["kl"] = (kl + 0 * lse).clamp_min(0.0)  # NaN where lse is, too
    return stats
