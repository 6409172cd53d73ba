"""Profiles of tiny models."""

from functools import cache

import numpy as np
import pytest

from attentropy.engine.profile.profile import profile
from counted import CountedClock
from tiny import model

FAMILIES = {
    "llama": {}, "gpt2": {}, "gemma2": {"head_dim": 12}, "cohere": {}, "olmo2": {},
    "mixtral": {"num_local_experts": 4, "num_experts_per_tok": 2},
    "gpt_oss": {"head_dim": 12, "num_local_experts": 4, "num_experts_per_tok": 2},
}  # fmt: skip


def profile_tiny(kind="llama", *, tokens=83, chunk=29, **options):
    extra = FAMILIES.get(kind, {}) | options.pop("extra", {})
    return profile(model(kind, **extra), tokens=tokens, chunk=chunk, repeat=1, **options)


@cache
def counted(kind="llama", **extra):
    """Return the profile of a model by a clock that counts operations; no test may change it."""
    with CountedClock():
        return profile_tiny(kind, extra=extra)


def seconds(trace, layer, part):
    """Return the seconds of one part of one layer, summed over all chunks."""
    names = [str(name) for name in trace["part"]]
    return float(np.nansum(trace["profile_seconds"][:, layer, names.index(part)]))


def assert_adds_up(trace):
    """Assert that the parts add up to the measured total and are the expected ones."""
    totals = trace.attrs["profile"]
    parts = np.nansum(trace["profile_seconds"]) + np.nansum(trace["profile_outside"])
    assert parts == pytest.approx(totals["whole_seconds"], rel=0.05)
    assert abs(totals["parts_off_by"]) < 0.05
    assert sum(totals["parts_seconds"].values()) == pytest.approx(parts, rel=1e-4)
    names = [str(name) for name in trace["part"]]
    measured = np.isfinite(trace["profile_seconds"]).all((0, 1))
    assert [n for n, is_there in zip(names, measured, strict=True) if is_there] == [
        "attention", "kernel", "mlp", "other", "writing",
    ]  # fmt: skip
