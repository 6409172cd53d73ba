"""What else `measure.py` times: the second sweep by both kernels, and the vocabulary's kernel."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import variants
from variants import ENTROPY, inputs, launch

from attentropy import attention_map, attention_received, vocabulary
from attentropy.kernels.common import tiles
from attentropy.kernels.common.mask import Mask
from attentropy.kernels.second_sweep import hopper_launch

Run = Callable[[], object]
SIZES = [(4096, 4096, 128_256), (1024, 4096, 128_256), (4096, 2048, 151_936), (64, 4096, 128_256)]


def time_sweep(session) -> None:
    """Time the second sweep, by both kernels, and a forward pass, 16,384 tokens."""
    for dim in (64, 128):
        if session.left() < 70 * variants.SHARE:
            return
        q, k, v = inputs(1, 64, 8, 16_384, 16_384, dim)
        runs: dict[str, Run] = {}
        for causal in (False, True):
            lse = launch("base", q, k, v, (), causal)["lse"]
            exact = attention_received(q, k, lse, causal=causal)
            mine, again = (_hopper_sums(q, k, lse, causal) for _ in range(2))
            error = float((mine - exact).abs().max())
            session.add("correct", "received", dim, causal, error, torch.equal(mine, again))
            kind = "causal" if causal else "full"
            runs |= {
                f"forward {kind}": lambda c=causal: launch("base", q, k, v, ENTROPY, c),
                f"received {kind}": lambda x=lse, c=causal: attention_received(q, k, x, causal=c),
                f"received {kind}, hopper": lambda x=lse, c=causal: _hopper_sums(q, k, x, c),
            }
        runs["map causal"] = lambda x=lse: attention_map(q, k, x, tile=128, heads="mean")
        for name, row in session.time(runs, 0.1).items():
            session.add("times", "sweep", dim, name, *row)


def _hopper_sums(q, k, lse, causal):
    """Return what keys receive by the kernel that is only taken on demand."""
    mask = Mask(q.shape[2], k.shape[2], 0, causal)
    factor = q.shape[-1] ** -0.5 * math.log2(math.e)
    return hopper_launch.received(q, k, lse, mask, factor, tiles._HOPPER_SUMS)


def time_vocabulary(session) -> None:
    """Time the vocabulary kernel and its product alone."""
    for rows, dim, size in SIZES:
        if session.left() < 25 * variants.SHARE:
            return
        hidden, final = (
            torch.randn(rows, dim, device=variants.DEVICE).bfloat16() for _ in range(2)
        )
        weight = (torch.randn(size, dim, device=variants.DEVICE) * 0.02).bfloat16()
        targets = torch.randint(0, size, (rows,), device=variants.DEVICE)
        runs: dict[str, Run] = {
            "matmul": lambda: hidden @ weight.T,
            "entropy": lambda: vocabulary(hidden, weight, top_k=0),
            "top 5": lambda: vocabulary(hidden, weight),
            "lens": lambda: vocabulary(hidden, weight, targets=targets),
            "lens and kl": lambda: vocabulary(hidden, weight, targets=targets, final=final),
        }
        for name, row in session.time(runs, 0.1).items():
            session.add("times", "vocabulary", rows, dim, size, name, *row)
