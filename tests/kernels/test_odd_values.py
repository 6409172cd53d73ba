"""Odd values reach only rows that see them, in every implementation, and never become a number."""

import pytest
import torch
from odd_attention import WAYS, check
from odd_cases import ODD_VALUES, ODD_WEIGHTS
from odd_sweeps import check_sweep

from attentropy import attention

CASES = ODD_VALUES | ODD_WEIGHTS
# Weights follow from lse, whose rounding is no part of a nat any more where scores are 1e18.
_NO_SWEEP = ("sinks NaN and inf", "query far too large")
SWEEPS = {name: case for name, case in ODD_VALUES.items() if name not in _NO_SWEEP}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", CASES)
def test_odd_values_reach_only_rows_that_see_them(name, way):
    q, k, v, arguments = CASES[name]()
    check(way, q, k, v, arguments)


@pytest.mark.parametrize(
    ("name", "impl"),
    [
        pytest.param(name, impl, marks=pytest.mark.slow if impl == "triton" and i % 3 else [])
        for i, name in enumerate(SWEEPS)
        for impl in ("reference", "portable", "native", "triton")
    ],
)
def test_odd_values_reach_only_sums_over_rows_that_see_them(name, impl):
    """Without a GPU a case takes Triton's interpreter seconds: two of three are slow."""
    check_sweep(impl, *SWEEPS[name]())


@pytest.mark.parametrize("name", ["NaN in a key", "inf in a key", "NaN in a query"])
def test_rows_are_not_numbers_where_pytorchs_own_attention_has_none(name):
    q, k, v, _ = ODD_VALUES[name]()
    keys, values = (x.repeat_interleave(2, 1) for x in (k, v))
    own = torch.nn.functional.scaled_dot_product_attention(q, keys, values, is_causal=True)
    got = attention(q, k, v)
    assert torch.equal(got.out.isnan(), own.isnan())
    assert torch.equal(got.entropy.isnan(), own.isnan().any(-1))
