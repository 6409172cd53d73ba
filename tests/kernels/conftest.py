"""What all kernel tests share: buffers that start as NaN."""

import math

import pytest
import torch


@pytest.fixture
def poisoned(monkeypatch):
    """Every buffer that a kernel gets to fill starts as NaN."""
    empty = torch.empty

    def nan(*args, **kwargs):
        made = empty(*args, **kwargs)
        return made.fill_(math.nan) if made.is_floating_point() else made.fill_(-77)

    monkeypatch.setattr(torch, "empty", nan)
