"""The table of statistics names what every implementation computes, and needs no torch."""

import subprocess
import sys

import pytest
import torch

from attentropy import attention
from attentropy.kernels.attention import triton_launch
from attentropy.kernels.attention.merge import part_names
from attentropy.kernels.common.mask import Mask
from attentropy.kernels.common.score import Score
from attentropy.kernels.common.statistics import STATISTICS, AttentionResult
from attentropy.kernels.ops import STATS
from close import available, inputs

SINKS = torch.zeros(4)


def _check(results):
    for name, statistic in STATISTICS.items():
        dtype = torch.int32 if statistic.is_integer else results["lse"].dtype
        assert results[name].dtype == dtype, name
        assert results[name].shape == results["lse"].shape, name


def test_the_result_has_a_field_for_each_statistic_in_their_order():
    assert tuple(AttentionResult.__dataclass_fields__) == ("out", "lse", *STATS)


@pytest.mark.parametrize("impl", ["reference", "portable", "triton"])
def test_every_statistic_comes_from_every_implementation(impl):
    if impl == "triton":
        available("cpu")
    _check(vars(attention(*inputs(9, 9), sinks=SINKS, stats=STATS, impl=impl)))


def test_every_statistic_comes_from_a_split_over_the_keys():
    q, k, v = (t.to(available("cpu")) for t in inputs(3, 40))
    _check(
        triton_launch.attention(
            q, k, v, score=Score(0.1), mask=Mask(3, 40, 37), sinks=SINKS, stats=STATS, splits=2
        )
    )


@pytest.mark.parametrize("name", STATS)
def test_a_statistic_alone_is_not_missing_what_its_merge_needs(name):
    needs = part_names((name,))
    assert set(needs) <= set(STATISTICS)
    q, k, v = (t.to(available("cpu")) for t in inputs(3, 40))
    results = triton_launch.attention(
        q, k, v, score=Score(0.1), mask=Mask(3, 40, 37), sinks=SINKS, stats=(name,), splits=2
    )
    wanted = attention(q, k, v, scale=0.1, sinks=SINKS, stats=(name,), impl="reference")
    torch.testing.assert_close(
        results[name].double(), getattr(wanted, name).double(), atol=1e-4, rtol=0
    )


def test_the_table_is_read_without_torch():
    code = (
        "import sys; from attentropy.kernels.common.statistics import STATISTICS;"
        "assert 'entropy' in STATISTICS and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
