"""Exact merge of rows from the parts of their keys (split keys, chunks, rings).

With w_c = exp(lse_c − lse) for the parts c: H = Σ w_c H_c − Σ w_c ln w_c, and every mean over the
keys is the weighted mean of the parts' means. A part with no visible key contributes nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor

from attentropy.kernels.attention.sinks import apply_sinks
from attentropy.kernels.common.statistics import STATISTICS


def merge(
    parts: dict[str, Tensor], sinks: Tensor | None, stats: tuple[str, ...]
) -> dict[str, Tensor]:
    """Merge statistics [C, B, Hq, Nq] and `out` [C, B, Hq, Nq, Dv] of C parts into whole rows.

    `parts` has lse and out over the keys alone, and `part_names(stats)`. Among equal weights the
    earlier part gives the top key. sinks [Hq] scale `out` and give sink_prob.
    """
    lse = torch.logsumexp(parts["lse"], 0)  # [B, Hq, Nq]
    has_key = parts["lse"] != -torch.inf  # NaN is another thing than no key
    log_w = torch.where(has_key, parts["lse"] - lse, 0.0)
    w = torch.where(has_key, log_w.exp(), 0.0)
    empty = ~has_key.any(0)

    def mean(values: Tensor) -> Tensor:
        return torch.where(has_key, w * values, 0.0).sum(0).masked_fill(empty, torch.nan)

    result = {"lse": lse, "out": (w[..., None] * parts["out"]).sum(0)}
    if "entropy" in parts:
        entropy = mean(parts["entropy"] - log_w).clamp_min(0.0)
    for name in stats:
        if STATISTICS[name].is_mean:
            result[name] = mean(parts[name])
        elif name == "max_logit":
            largest = torch.where(has_key, parts[name], -torch.inf).amax(0)  # NaN if one part is
            result[name] = largest.masked_fill(empty, torch.nan)
        elif name == "entropy":
            result[name] = entropy
        elif name == "varentropy":  # of ln p = ln p_c + ln w_c: within the parts and between them
            deviation = log_w - parts["entropy"] + entropy
            result[name] = mean(parts["varentropy"] + deviation.square())
        elif name in ("max_prob", "top_key"):
            largest, part = torch.where(has_key, w * parts["max_prob"], -1.0).max(0)
            if name == "max_prob":
                result[name] = largest.masked_fill(empty, torch.nan)
            else:
                key = parts["top_key"].gather(0, part[None])[0]
                result[name] = key.masked_fill(empty | lse.isnan(), -1)
    apply_sinks(result, sinks, stats)
    return result


def part_names(stats: tuple[str, ...]) -> tuple[str, ...]:
    """Return the statistics that the parts need so that `merge` can compute `stats`."""
    names = dict.fromkeys(stats)
    for name in stats:
        names |= dict.fromkeys(STATISTICS[name].needs_of_parts)
    return tuple(name for name in names if not STATISTICS[name].needs_sinks)
