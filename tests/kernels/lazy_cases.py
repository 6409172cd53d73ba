"""Inputs that the tests of `hopper_lazy` share, emulated and on a GPU."""

import torch

LOW = ("lse", "entropy", "max_prob", "max_logit", "varentropy", "distance", "sink_mass")
TYPES = {torch.bfloat16: 0.02, torch.float16: 0.003}  # what an output's rounding allows
PADDING = {
    "none": {},
    "left": {"key_starts": torch.tensor([130, 0])},
    "right": {"key_lengths": torch.tensor([77, 301])},
    "both": {"key_starts": torch.tensor([9, -2]), "key_lengths": torch.tensor([150, 201])},
    "a sequence without a key": {"key_lengths": torch.tensor([0, 300])},
}

KEYS = 4096


def hostile():
    """Return scores [64, KEYS] that are hard to sum, by name."""
    random = torch.Generator().manual_seed(0)
    normal = torch.randn(64, KEYS, generator=random)
    at = torch.arange(KEYS)
    sinks = {lead: normal + torch.where(at == 0, float(lead), 0.0) for lead in (20, 88)}
    steps = (at // 128).flip(0)
    return {
        "normal": normal,
        "wide": normal * 12,
        "far above": normal + 300,
        "far below": normal * 5 - 300,
        "a sink": sinks[20],
        "a sink far above": sinks[88],
        "a rise in each tile": normal + steps * 7.0,
        "rises just below the threshold": normal * 0.01 + steps * 5.54,  # 8 in base 2 is 5.545 nats
        "one rise just below the threshold": normal * 0.01 + 5.5 * (at < KEYS - 128),
        "all equal": torch.full((64, KEYS), 7.3),
        "one key": torch.where(at == 77, 30.0, -50.0).expand(64, -1),
        "large": normal * 1e5,
        "two peaks of one height": torch.where(at % 2048 == 5, 40.0, 0.0).expand(64, -1),
        "each row another peak": torch.where(at == 61 * torch.arange(64)[:, None], 25.0, 0.0),
    }
