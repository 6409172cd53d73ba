"""Masks and inputs that the tests of the second sweep share."""

import torch

from attentropy import attention
from close import bounds, inputs

MASKS = {
    "causal": {},
    "full": {"causal": False},
    "window": {"window": 7},
    "symmetric window": {"window": 7, "causal": False},
    "chunk": {"chunk": 16},
    "softcap": {"softcap": 5.0},
    "slopes": {"slopes": torch.tensor([0.5, 0.25, 0.125, 0.0625])},
    "padding": {"key_starts": torch.tensor([9, 0]), "key_lengths": torch.tensor([30, 41])},
    "chunks in padding": {"key_starts": torch.tensor([9, -3]), "chunk": 10},
    "segments": {"segments": (torch.arange(200) // 13).repeat(2, 1)},
    "mixed segments": {"segments": (torch.arange(200) % 3).repeat(2, 1)},
}
# What only the portable implementation takes.
LAST_KEYS = {
    "last keys": {
        "last_keys": torch.stack([torch.arange(200), torch.arange(200) // 9 * 9 + 8]).clamp(max=199)
    },
}


def masked_inputs(mask, queries, keys, sigma=2):
    q, k, v = inputs(queries, keys, dim=32, sigma=sigma)
    mask = dict(mask)
    for name in {"segments", "last_keys"} & set(mask):
        mask[name] = mask[name][:, :keys]
    lse = attention(q, k, v, impl="reference", **mask).lse
    return q, k, lse, mask, bounds(q, k)["max_prob"]
