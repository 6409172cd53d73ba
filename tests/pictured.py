"""Traces with the heads' thumbnails: of their exact weights, or random causal ones."""

import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.thumbnails import encode_mass

DIMS = ("layer", "head", "tile_q", "tile_k")


def with_thumbnails(trace, masses=None):
    """Return the trace with thumbnails of `masses` [layer, head, tile, tile].

    By default the tiles are those of a random causal row each, or the exact weights of a window
    that has the whole prompt, head by head.
    """
    sizes, n = trace.dataset.sizes, trace.prompt_tokens
    if masses is None and sizes.get("window_head", 0) > 1 and sizes["window_query"] == n <= 32:
        masses = trace["window"]
    if masses is None:
        masses = random_masses(sizes["layer"], sizes["head"], min(n, 32))
    starts = np.arange(masses.shape[-1]) * -(-n // masses.shape[-1])
    dataset = trace.dataset.assign(thumbnail=(DIMS, encode_mass(masses)))
    return Trace(dataset.assign_coords(tile_q=starts.astype("i4"), tile_k=starts.astype("i4")))


def random_masses(layers, heads, tiles, seed=0):
    """Return causal rows that add up to 1, some focused and some wide."""
    random = np.random.default_rng(seed)
    scores = random.normal(0, 1, (layers, heads, tiles, tiles))
    scores *= random.uniform(0.5, 4, (layers, heads, 1, 1))
    scores[..., 0] += random.uniform(0, 3, (layers, heads, 1))
    weights = np.tril(np.exp(scores))
    return weights / weights.sum(-1, keepdims=True)


def without_thumbnails(trace):
    """Return the trace as one that was recorded without thumbnails."""
    return Trace(trace.dataset.drop_vars(["thumbnail", "tile_q", "tile_k"]))
