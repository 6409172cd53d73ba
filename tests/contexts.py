"""Traces with attention by distance, as `--context` records it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from attentropy.engine.trace.context import bin_starts
from attentropy.engine.trace.dataset import Trace
from traces import synthetic

TOKENS = 41  # bins from 0, 1, 2, 4, 8, 16 and 32 on


def at_bins(shares: dict[int, float]) -> list[float]:
    """Return the shares of one head by column, of which 0 has the first four keys."""
    return [shares.get(column, 0.0) for column in range(len(bin_starts(TOKENS)))]


NEAR, FAR = at_bins({0: 0.5, 1: 0.5}), at_bins({0: 0.1, 3: 0.2, 7: 0.7})


def with_context(
    mass: object,
    *,
    visible: Sequence[int] = (),
    heads: int = 2,
    size: int = 64,
    entries: Sequence[int] = (),
) -> Trace:
    """Return a trace of `TOKENS` tokens with these shares [layer, head, bin].

    visible: the most keys that a query of each layer sees, by default all. heads, size: those of
    keys and values, and the bytes that a token takes in one. entries: the first layer that reads
    the same keys, by default each its own.
    """
    shares = np.asarray(mass, np.float32)
    layers, count, columns = shares.shape
    tokens = [f" t{i}" for i in range(TOKENS)]
    trace = synthetic(tokens, ["content"] * TOKENS, layers=layers, heads=count)
    limits = np.asarray(visible or [TOKENS] * layers)
    keys = np.minimum(np.arange(TOKENS) + 1, limits[:, None])
    farthest = np.minimum(np.arange(TOKENS) - 4, limits[:, None] - 1)
    reach = [(farthest >= start).mean(1) for start in bin_starts(TOKENS)]
    n, starts = np.arange(TOKENS), bin_starts(TOKENS)[1:]
    distance = n[:, None] - n
    number = np.where(n < 4, 0, np.searchsorted(starts, distance, "right"))
    uniform = [
        [((distance >= 0) & (distance < limit) & (number == b)).mean() for b in range(columns)]
        for limit in limits
    ]
    data = trace.dataset.assign(
        context_uniform=(
            ("layer", "context_bin"),
            (uniform / np.sum(uniform, 1, keepdims=True)).astype(np.float32),
        ),
        visible=(("layer", "query"), keys.astype(np.int32)),
        context_mass=(("layer", "context_head", "context_bin"), shares),
        context_reach=(("layer", "context_bin"), np.stack(reach, 1).astype(np.float32)),
        cache_heads=(("layer",), np.full(layers, heads, np.int32)),
        cache_bytes=(("layer",), np.full(layers, size, np.int32)),
        cache_entry=(("layer",), np.array(entries or range(layers), np.int32)),
    )
    coordinates = {
        "context_bin": ("context_bin", bin_starts(TOKENS).astype(np.int32)),
        "context_head": ("context_head", np.arange(count, dtype=np.int32)),
    }
    return Trace(data.assign_coords(coordinates))
