"""The mask tells which keys a query sees, and when no pair needs a check."""

import pytest
import torch

from attentropy.kernels.common.mask import Mask


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("window", [None, 1, 9, 64])
@pytest.mark.parametrize("offset", [0, 23, -5])
def test_a_rectangle_that_hides_none_is_told_without_looking(causal, window, offset):
    mask = Mask(40, 60, offset, causal, window)
    for first in range(0, 40, 3):
        for left in range(0, 60, 4):
            rows, cols = (first, min(40, first + 5)), (left, min(60, left + 6))
            all_visible = bool(mask.visible(rows, cols, torch.device("cpu")).all())
            assert mask.hides_none(rows, cols) == all_visible
