"""The definitions once more, in float64 and pair by pair: what odd values are checked against.

It shares no code with the kernels or their reference. A score of NaN or +inf that a query sees
makes its row NaN; a score of −inf is a weight of 0, and a row of such scores alone is one that
sees no key. Keys that a query does not see have no influence, whatever they hold.
"""

from __future__ import annotations

import math

import torch

NAMES = (
    "out", "lse", "entropy", "max_prob", "max_logit", "varentropy", "distance", "sink_mass",
    "top_key",
)  # fmt: skip
_INF = math.inf


def visible(
    batch, queries, keys, *, causal=True, window=None, chunk=None, key_starts=None,
    key_lengths=None, segments=None, query_offset=None,
):  # fmt: skip
    """Return which keys each query sees, [B, Nq, Nk]."""
    offset = keys - queries if query_offset is None else query_offset
    pairs = torch.zeros(batch, queries, keys, dtype=torch.bool)
    for b in range(batch):
        start = 0 if key_starts is None else int(key_starts[b])
        stop = keys if key_lengths is None else start + int(key_lengths[b])
        for i in range(queries):
            a = i + offset
            for j in range(max(start, 0), min(stop, keys)):
                is_visible = not causal or j <= a
                if window is not None:
                    is_visible &= j > a - window and (causal or j < a + window)
                if chunk is not None:
                    is_visible &= (j - start) // chunk == (a - start) // chunk
                if segments is not None:
                    own = segments[b, min(max(a, 0), keys - 1)]
                    is_visible &= int(own) == int(segments[b, j])
                pairs[b, i, j] = is_visible
    return pairs


def attention(q, k, v, *, scale=None, softcap=None, slopes=None, sinks=None, **mask):
    """Return every result [B, Hq, Nq, …], the weights as `p` and the visible pairs as `pairs`."""
    batch, heads, queries, dim = q.shape
    keys, group = k.shape[2], heads // k.shape[1]
    offset = mask.get("query_offset")
    offset = keys - queries if offset is None else offset
    k, v = (x.double().repeat_interleave(group, 1) for x in (k, v))
    s = torch.einsum("bhid,bhjd->bhij", q.double(), k) * (dim**-0.5 if scale is None else scale)
    gap = (torch.arange(queries)[:, None] + offset - torch.arange(keys)).double()
    if softcap is not None:
        s = softcap * torch.tanh(s / softcap)
    if slopes is not None:
        s = s - slopes.double()[:, None, None] * gap
    pairs = visible(batch, queries, keys, **mask)[:, None].expand_as(s)
    s = torch.where(pairs, s, -_INF)
    nan = ((s.isnan() | (s == _INF)) & pairs).any(-1)
    clean = torch.where(nan[..., None], 0.0, s)
    top = clean.amax(-1)
    none = (top == -_INF) & ~nan
    e = torch.where(pairs, (clean - torch.where(none, 0.0, top)[..., None]).exp(), 0.0)
    total = torch.where(none, 1.0, e.sum(-1))
    p = e / total[..., None]
    lse = torch.where(none, -_INF, top + total.log())
    log_p = torch.where(p > 0, clean - lse[..., None], 0.0)
    h = -(p * log_p).sum(-1)
    starts = torch.zeros(batch) if mask.get("key_starts") is None else mask["key_starts"]
    j = torch.arange(keys)
    early = (j >= starts[:, None]) & (j < starts[:, None] + 4)
    results = {
        "entropy": h, "max_prob": p.amax(-1), "max_logit": top, "distance": (p * gap).sum(-1),
        "varentropy": (p * (log_p + h[..., None]).square()).sum(-1),
        "sink_mass": (p * early[:, None, None]).sum(-1),
    }  # fmt: skip
    results = {name: torch.where(none | nan, math.nan, x) for name, x in results.items()}
    results["lse"] = torch.where(nan, math.nan, lse)
    results["top_key"] = torch.where(none | nan, -1, clean.argmax(-1))
    weights = torch.where(nan[..., None] & pairs, math.nan, p)
    out = torch.zeros(batch, heads, queries, v.shape[-1], dtype=torch.float64)
    for key in range(keys):
        term = weights[..., key, None] * v[:, :, None, key]
        counts = (pairs[..., key] & ~none)[..., None]
        out += torch.where(counts, term, 0.0)
    if sinks is not None:
        share = torch.sigmoid(sinks.double()[:, None] - results["lse"])
        results["sink_prob"] = share
        out = out * (1 - share)[..., None]
    return results | {"out": out, "p": weights, "pairs": pairs}


def contributions(p):
    """Return −p ln p, 0 for a weight of 0 and NaN for NaN."""
    return torch.where(p == 0, 0.0, -p * p.log())


def tiles(p, tile, mean):
    """Return the sums over tiles per query, [B, Hq or 1, Tq, Tk]."""
    p = p.mean(1, keepdim=True) if mean else p
    rows = torch.stack([part.sum(2) / part.shape[2] for part in p.split(tile[0], 2)], 2)
    return torch.stack([part.sum(-1) for part in rows.split(tile[1], -1)], -1)


def recent(p, pairs, last):
    """Return the sums over the last `last` keys that each query sees, [B, Hq, Nq]."""
    rank = pairs.long().flip(-1).cumsum(-1).flip(-1)
    return torch.where(pairs & (rank <= last), p, 0.0).sum(-1)


def by_distance(p, mask, first_keys=4):
    """Return the sums over all queries by distance, the first keys apart, [B, Hq, 1 + bins]."""
    batch, heads, queries, keys = p.shape
    offset = mask.get("query_offset")
    offset = keys - queries if offset is None else offset
    starts = mask.get("key_starts")
    farthest = max(offset + queries - 1, keys - 1 - offset, 0)
    sums = torch.zeros(batch, heads, 2 + farthest.bit_length(), dtype=torch.float64)
    for b in range(batch):
        start = 0 if starts is None else int(starts[b])
        for i in range(queries):
            for j in range(keys):
                is_first = start <= j < start + first_keys
                column = 0 if is_first else 1 + abs(offset + i - j).bit_length()
                sums[b, :, column] += p[b, :, i, j]
    return sums


def vocabulary(
    hidden, unembedding, *, bias=None, scale=1.0, softcap=None, top_k=5, targets=None, final=None
):
    """Return every result, from the logits of each row in turn."""

    def read(state):
        logits = unembedding.double() @ state.double()
        if bias is not None:
            logits = logits + bias.double()
        logits = logits * scale
        if softcap is not None:
            logits = softcap * torch.tanh(logits / softcap)
        wrong = bool(logits.isnan().any() or (logits == _INF).any() or (logits == -_INF).all())
        return (torch.full_like(logits, math.nan) if wrong else logits), wrong

    rows = []
    for n, state in enumerate(hidden):
        logits, wrong = read(state)
        ids = sorted(range(len(logits)), key=lambda i: 0 if wrong else -float(logits[i]))  # stable
        lse = torch.logsumexp(logits, 0)
        log_p = logits - lse
        row = {"lse": lse, "entropy": contributions(log_p.exp()).sum()}
        row |= {"top_ids": torch.tensor(ids[:top_k]), "top_logprobs": log_p[ids[:top_k]]}
        if targets is not None:
            row["target_logprob"] = log_p[targets[n]]
            row["target_rank"] = torch.tensor([ids.index(int(i)) for i in targets[n]])
        if final is not None:
            last, _ = read(final[n])
            log_f = last - torch.logsumexp(last, 0)
            f = log_f.exp()
            kl = torch.where(f == 0, 0.0, f * (log_f - log_p)).sum()
            row["kl"] = torch.where(lse.isnan(), math.nan, kl.clamp_min(0.0))
        rows.append(row)
    return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
