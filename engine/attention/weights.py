"""Compute the exact attention weights of a rectangle of queries and keys."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from attentropy.kernels.sweep import attention_window

# Bytes of column sums, or of weights whose mean over heads is taken, alive at once on the device.
ALIVE_BYTES = 32 * 2**20

_TINY = torch.finfo(torch.float32).tiny


def exact_weights(
    query: Tensor,
    key: Tensor,
    lse: Tensor,
    rows: tuple[int, int],
    keys: tuple[int, int],
    where: dict[str, Any],
    *,
    per_head: bool,
    shares: bool,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the weights [heads or 1, rows, keys] of one sequence's rectangle.

    Without `per_head` they are the mean over heads, and with `shares` the mean of −p ln p is the
    second value.
    """
    if per_head:
        weights = attention_window(query, key, lse, rows, keys, **where)[0]
        return weights.float().cpu().numpy(), None
    step = max(1, ALIVE_BYTES // (4 * query.shape[1] * max(1, keys[1] - keys[0])))
    means: list[np.ndarray] = []
    mean_shares: list[np.ndarray] = []
    for first in range(*rows, step):
        band = (first, min(rows[1], first + step))
        part = attention_window(query, key, lse, band, keys, **where)[0].float()
        means.append(part.mean(0, keepdim=True).cpu().numpy())
        if shares:
            mean_shares.append(_shares(part).mean(0, keepdim=True).cpu().numpy())
    return np.concatenate(means, 1), np.concatenate(mean_shares, 1) if shares else None


def _shares(weights: Tensor) -> Tensor:
    """Return −p ln p, at least 0, also where rounding puts a weight above 1.

    `torch.special.entr` takes twice as long.
    """
    return weights.clamp_min(_TINY).log_().mul_(weights).neg_().clamp_min_(0)
