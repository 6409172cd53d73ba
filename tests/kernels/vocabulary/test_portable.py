"""The portable vocabulary stores no logits beyond its blocks, and computes each of them once."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from attentropy import vocabulary
from attentropy.kernels.vocabulary import portable
from vocabulary_cases import random_inputs

_TWO_BLOCKS = 2 * 1024 * 512 * 4  # bytes; of the last layer there are at most two more


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
    assert largest.bytes <= max(_TWO_BLOCKS, weight.nbytes)
    assert rows == 3 or 2**20 < largest.bytes < rows * size * 4 / 20


@pytest.fixture
def products(monkeypatch):
    """Return a list that grows by the (rows, columns) of each block of logits."""
    computed = []
    block = portable._Head.block

    def count(self, hidden, left, right, out):
        computed.append((len(hidden), right - left))
        return block(self, hidden, left, right, out)

    monkeypatch.setattr(portable._Head, "block", count)
    return computed


@pytest.mark.parametrize("layers", [1, 7])
@pytest.mark.parametrize("rows", [5, 300])
@pytest.mark.parametrize("is_last", [True, False])
def test_the_last_layers_logits_are_computed_once_for_all_layers(rows, layers, is_last, products):
    hidden, weight, targets = random_inputs(rows * layers, 1500, dim=3)
    final = hidden[-rows:].clone() if is_last else random_inputs(rows, 1501, dim=3)[0]
    read = vocabulary(hidden, weight, targets=targets, final=final, impl="portable")
    computed = sum(block_rows * columns for block_rows, columns in products)
    assert computed == rows * 1500 * (layers + (not is_last))
    assert (read.kl[-rows:] == 0).all() or not is_last


def test_few_rows_of_many_layers_are_one_product(products):
    hidden, weight, _ = random_inputs(37 * 12, 900, dim=3)
    vocabulary(hidden, weight, final=hidden[-37:], impl="portable")
    assert products == [(37 * 12, 900)]
