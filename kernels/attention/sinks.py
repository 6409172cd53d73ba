"""Learned sinks (gpt-oss): a logit per head that takes attention and has no key."""

from __future__ import annotations

import torch
from torch import Tensor


def apply_sinks(result: dict[str, Tensor], sinks: Tensor | None, stats: tuple[str, ...]) -> None:
    """Scale `out` [B, Hq, Nq, Dv] by what the sinks [Hq] leave to the keys, and add sink_prob.

    lse [B, Hq, Nq] is that of the keys alone.
    """
    if sinks is None:
        return
    excess = result["lse"] - sinks.to(result["lse"])[:, None]
    result["out"] *= torch.sigmoid(excess)[..., None]  # 1 − sink_prob may be rounded to 0
    if "sink_prob" in stats:
        result["sink_prob"] = torch.sigmoid(-excess)
