"""Fixtures for tests of profiles: no slow measurements, and a clock that counts."""

import pytest

from attentropy.engine.measure import machine
from attentropy.engine.profile import torch_attention as fused
from counted import CountedClock


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Replace slow measurements; the benchmark's tests cover the upper bounds."""
    bounds = {"flops_per_second": 1e11, "bytes_per_second": 1e10}
    monkeypatch.setattr(machine, "upper_bounds", lambda device, dtype: bounds)
    monkeypatch.setattr(fused, "_BUDGET", 0.0)


@pytest.fixture
def clock():
    """Yield a clock that counts operations."""
    with CountedClock() as clock:
        yield clock
