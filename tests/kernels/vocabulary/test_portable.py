"""The portable vocabulary stores no logits beyond its blocks."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from attentropy import vocabulary
from vocabulary_cases import random_inputs


class _Largest(TorchDispatchMode):
    """A recorder of the size in bytes of the largest tensor that any operation returns."""

    bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        results = func(*args, **(kwargs or {}))
        for one in results if isinstance(results, (tuple, list)) else (results,):
            if isinstance(one, torch.Tensor):
                self.bytes = max(self.bytes, one.untyped_storage().nbytes())
        return results


@pytest.mark.parametrize(("rows", "size"), [(3, 400_000), (1100, 40_000)])
def test_portable_makes_no_array_larger_than_its_blocks(rows, size):
    hidden, weight, targets = random_inputs(rows, size, dim=3)
    with _Largest() as largest:
        vocabulary(hidden, weight, targets=targets, final=hidden, impl="portable")
    assert largest.bytes <= 6 * 2**20
    assert rows == 3 or largest.bytes < rows * size * 4 / 20
