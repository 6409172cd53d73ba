"""Exact merge of rows that were computed over parts of their keys (split keys, chunks, rings).

With w_c = exp(lse_c − lse) for the parts c: H = Σ w_c H_c − Σ w_c ln w_c, and every mean over the
keys is the mean of the parts' means. A part with no visible key contributes nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor

_MEANS = ("distance", "sink_mass")


def merge(
    parts: dict[str, Tensor], sinks: Tensor | None, stats: tuple[str, ...]
) -> dict[str, Tensor]:
    """Statistics [C, B, Hq, Nq] and `out` [C, B, Hq, Nq, Dv] of C parts to those of whole rows.

    `parts` holds lse and out over the keys alone, and for `stats` the parts' own values:
    varentropy also needs their entropy, top_key their max_prob (ties go to the earlier part).
    sinks [Hq] scale `out` and give sink_prob.
    """
    lse = torch.logsumexp(parts["lse"], 0)  # [B, Hq, Nq]
    seen = parts["lse"] > -torch.inf
    log_w = torch.where(seen, parts["lse"] - lse, 0.0)
    w = torch.where(seen, log_w.exp(), 0.0)
    empty = ~seen.any(0)

    def mean(values: Tensor) -> Tensor:
        return torch.where(seen, w * values, 0.0).sum(0).masked_fill(empty, torch.nan)

    done = {"lse": lse, "out": (w[..., None] * parts["out"]).sum(0)}
    if "entropy" in parts:
        entropy = mean(parts["entropy"] - log_w).clamp_min(0.0)
    for name in stats:
        if name == "entropy":
            done[name] = entropy
        elif name == "varentropy":  # of ln p = ln p_c + ln w_c: within the parts and between them
            apart = log_w - parts["entropy"] + entropy
            done[name] = mean(parts["varentropy"] + apart.square())
        elif name in _MEANS:
            done[name] = mean(parts[name])
        elif name in ("max_prob", "top_key"):
            best, which = torch.where(seen, w * parts["max_prob"], -1.0).max(0)
            if name == "max_prob":
                done[name] = best.masked_fill(empty, torch.nan)
            else:
                top = parts["top_key"].gather(0, which[None])[0]
                done[name] = top.masked_fill(empty, -1)
    if sinks is not None:
        share = torch.sigmoid(sinks.to(lse)[:, None] - lse)
        done["out"] = done["out"] * (1 - share)[..., None]
        if "sink_prob" in stats:
            done["sink_prob"] = share
    return done
