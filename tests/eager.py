"""The oracle of recordings: float64 entropies of the weights of transformers' eager attention."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch


def eager_entropies(model: Any, **inputs: Any) -> list[np.ndarray]:
    """Return the entropies of each layer, [batch, head, query]; the model stays as it is."""
    subject = copy.deepcopy(model)
    subject.set_attn_implementation("eager")
    with torch.no_grad():
        weights = subject(**inputs, output_attentions=True).attentions
    return [_entropy(one.double()).numpy() for one in weights]


def assert_eager(trace: Any, model: Any, sequence: int = 0, **inputs: Any) -> None:
    """Check every entropy of a trace against eager attention over the same inputs."""
    wanted = eager_entropies(model, **inputs)
    assert trace["entropy"].shape[0] == len(wanted)
    for layer, entropies in enumerate(wanted):
        got = trace["entropy"][layer]
        np.testing.assert_allclose(got, entropies[sequence], atol=1e-5, err_msg=f"layer {layer}")


def _entropy(weights: torch.Tensor) -> torch.Tensor:
    return -(weights * torch.where(weights > 0, weights, 1.0).log()).sum(-1)
