"""A fingerprint of a model's weights, by which runs of other weights are told apart."""

from __future__ import annotations

import hashlib

import torch

_SAMPLED = 64  # values of each parameter that enter the hash


def weights_sha256(model: torch.nn.Module) -> str:
    """Return a hash of the name, shape, type and some values of every parameter."""
    fingerprint = hashlib.sha256()
    for name, parameter in model.named_parameters():
        fingerprint.update(f"{name}{tuple(parameter.shape)}{parameter.dtype}".encode())
        if parameter.device.type == "meta":
            continue
        flat = parameter.detach().flatten()
        sample = flat[:: max(1, len(flat) // _SAMPLED)][:_SAMPLED].cpu().contiguous()
        fingerprint.update(sample.view(torch.uint8).numpy().tobytes())
    return fingerprint.hexdigest()
