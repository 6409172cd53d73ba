"""Measurements of speed that take no longer than their fewest runs, for tests of what uses them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from attentropy.engine.cost import speed
from attentropy.engine.measure import machine
from attentropy.engine.profile import torch_attention


@contextlib.contextmanager
def quick_measurements() -> Iterator[None]:
    """Let each measurement end after its fewest runs instead of filling its time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(machine, "_SECONDS", 0.0)
        patch.setattr(speed, "_BUDGET", 0.0)
        patch.setattr(torch_attention, "_BUDGET", 0.0)
        yield
