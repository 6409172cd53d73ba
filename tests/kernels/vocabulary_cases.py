"""Inputs and comparisons that the tests of the vocabulary share."""

import pytest
import torch

from close import assert_close

ways = pytest.mark.parametrize(
    ("impl", "device"),
    [
        pytest.param("portable", "cpu", id="portable"),
        pytest.param("triton", "cpu", id="interpreted"),
        pytest.param("triton", "cuda", id="gpu", marks=pytest.mark.gpu),
    ],
)


def random_inputs(rows, size, dim=24, sigma=1.0):
    random = torch.Generator().manual_seed(rows + size)
    hidden = torch.randn(rows, dim, generator=random) * sigma
    weight = torch.randn(size, dim, generator=random) * 0.5
    targets = torch.randint(0, size, (rows, 2), generator=random)
    return hidden, weight, targets


def whole_numbers(rows, size, dim=6, seed=0):
    """Return inputs whose logits are small integers: exact in any order of sums, often tied."""
    random = torch.Generator().manual_seed(seed)
    hidden = torch.randint(-2, 3, (rows, dim), generator=random).float()
    weight = torch.randint(-2, 3, (size, dim), generator=random).float()
    return hidden, weight, torch.randint(0, size, (rows, 3), generator=random)


def to_device(device, values):
    return {n: v.to(device) if isinstance(v, torch.Tensor) else v for n, v in values.items()}


def compare(got, wanted, bound=1e-4):
    for name in ("entropy", "lse", "top_logprobs", "target_logprob", "kl"):
        if getattr(wanted, name) is not None:
            assert_close(getattr(got, name), getattr(wanted, name), bound, name)
