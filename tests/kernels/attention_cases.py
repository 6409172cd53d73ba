"""Masks and comparisons that the tests of attention share."""

import torch

from attentropy.kernels.common.statistics import STATISTICS
from close import assert_close, bounds

ALL = tuple(name for name in STATISTICS if name != "sink_prob")


MASKS = {
    "causal": {},
    "full": {"causal": False},
    "window": {"window": 7},
    "symmetric window": {"window": 7, "causal": False},
    "window of one": {"window": 1},
    "chunk": {"chunk": 16},
    "softcap": {"softcap": 5.0},
    "slopes": {"slopes": torch.tensor([0.5, 0.25, 0.125, 0.0625])},
    "sinks": {"sinks": torch.tensor([-3.0, 0.0, 2.0, 9.0])},
    "left padding": {"key_starts": torch.tensor([9, 0])},
    "right padding": {"key_lengths": torch.tensor([5, 57])},
    "chunks in padding": {"key_starts": torch.tensor([9, 0]), "chunk": 10},
    "padding before the cache": {"key_starts": torch.tensor([-3, -6]), "chunk": 10},
}


def on_device(device, mask, heads):
    """Return the mask on the device, for its four heads or the first and the last of them."""
    head_slice = {4: slice(None), 2: slice(None, None, 3)}[heads]
    mask = {n: m[head_slice] if n in ("slopes", "sinks") else m for n, m in mask.items()}
    return {n: m.to(device) if isinstance(m, torch.Tensor) else m for n, m in mask.items()}


def compare(got, wanted, q, k, stats, scale=None, out=None):
    """Assert that lse, output and statistics agree within their bounds, `out` within its own."""
    limits = bounds(q, k, scale)
    if out is not None:  # rounded to the type of v
        limits["out"] = out
    for name in (*stats, "lse", "out"):
        if name != "top_key":
            assert_close(getattr(got, name), getattr(wanted, name), limits[name], name)
