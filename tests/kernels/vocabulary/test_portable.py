"""The portable vocabulary stores no logits beyond its blocks."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from attentropy.kernels.vocabulary import portable
from vocabulary_cases import random_inputs

_THREE_BLOCKS = 3 * 1024 * 1024 * 4  # bytes, as the module says


class _Largest(TorchDispatchMode):
    """A recorder of the size in bytes of the largest tensor that any operation returns.

    It sees the operations of the module itself, but none inside of a registered operation.
    """

    bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        results = func(*args, **(kwargs or {}))
        for one in results if isinstance(results, (tuple, list)) else (results,):
            if isinstance(one, torch.Tensor):
                self.bytes = max(self.bytes, one.untyped_storage().nbytes())
        return results


@pytest.mark.parametrize(("rows", "size"), [(3, 400_000), (1100, 60_000)])
def test_portable_makes_no_array_larger_than_its_blocks(rows, size):
    hidden, weight, targets = random_inputs(rows, size, dim=3)
    with _Largest() as largest:
        portable.vocabulary(
            hidden, weight, bias=None, scale=1.0, softcap=None, top_k=5, targets=targets,
            final=hidden,
        )  # fmt: skip
    assert largest.bytes <= _THREE_BLOCKS
    assert rows == 3 or 2**20 < largest.bytes < rows * size * 4 / 20
