"""A run that is continued computes attention as its beginning did."""

import pytest
import torch

from attentropy.engine.run.resuming import keep_implementation
from attentropy.kernels.choice import choose, same_on_cpu


@pytest.mark.parametrize(
    ("earlier", "now", "wanted"),
    [
        ({}, "native", "native"),
        ({"implementation": "native"}, "native", "native"),
        ({"implementation": "portable"}, "native", "portable"),
        ({"implementation": "native"}, "portable", "portable"),  # which is refused later
        ({"implementation": "portable"}, "triton", "triton"),
    ],
)
def test_a_run_begun_without_the_c_code_goes_without_it(earlier, now, wanted):
    assert keep_implementation({"implementation": now}, earlier)["implementation"] == wanted


def test_calls_within_such_a_run_are_portable():
    q = torch.zeros(1, 1, 2, 4)
    usual = choose("attention", None, q, None, work=1.0)
    with same_on_cpu("portable"), same_on_cpu("native"):
        assert choose("attention", None, q, None, work=1.0) == "portable"
    with same_on_cpu("native"):
        assert choose("attention", None, q, None, work=1.0) == usual
