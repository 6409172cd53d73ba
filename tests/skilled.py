"""Synthetic traces whose lens has a given skill at each layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from attentropy.engine.trace.dataset import Trace
from traces import synthetic

# As of a small chat model: four layers that say nothing, two that say little, two that are right.
MIXED = (-1.2, -0.9, -0.5, 0.0, 0.1, 0.4, 0.7, 1.0)


def skilled(skills: Sequence[float] = MIXED, **options: Any) -> Trace:
    """Return a synthetic trace of which the lens has these skills, layer 0 first."""
    trace = synthetic(layers=len(skills), **options)
    dataset = trace.dataset.copy(deep=True)
    size = dataset.attrs["model"]["vocabulary"]
    room = math.log(size) - dataset["lens_entropy"].values[:, -1]
    for layer, skill in enumerate(skills):
        dataset["lens_kl"][:, layer] = (1 - skill) * room
    return Trace(dataset)
