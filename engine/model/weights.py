"""A fingerprint of a model's weights."""

from __future__ import annotations

import hashlib

import torch

_SAMPLED = 64  # values of each parameter that tell one model's weights from another's


def weights_sha256(model: torch.nn.Module) -> str:
    """Of names, shapes and some values of each parameter: another checkpoint has another one."""
    found = hashlib.sha256()
    for name, parameter in model.named_parameters():
        found.update(f"{name}{tuple(parameter.shape)}{parameter.dtype}".encode())
        if parameter.device.type == "meta":
            continue
        flat = parameter.detach().flatten()
        some = flat[:: max(1, len(flat) // _SAMPLED)][:_SAMPLED].cpu().contiguous()
        found.update(some.view(torch.uint8).numpy().tobytes())
    return found.hexdigest()
