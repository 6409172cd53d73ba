"""Attention in PyTorch and in C agrees with the float64 reference as far as float32 scores can."""

import json
import subprocess
import sys

import pytest
import torch

from attention_cases import ALL, MASKS, compare
from attentropy import attention, attention_window
from close import assert_close, bounds, inputs
from grids import pairwise

IMPLS = pytest.mark.parametrize("impl", ["portable", "native"])


@IMPLS
@pairwise({"n": [1, 63, 111, 257], "offset": [0, 300, -300], "sigma": [1, 4, 12]})
def test_peaky_and_shifted_scores(impl, sigma, offset, n, poisoned):
    q, k, v = inputs(n, n, sigma=sigma, offset=offset)
    wanted = attention(q, k, v, stats=ALL, impl="reference")
    compare(attention(q, k, v, stats=ALL, impl=impl), wanted, q, k, ALL)


@IMPLS
@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
@pytest.mark.parametrize(("queries", "keys"), [(57, 57), (5, 57), (57, 33)])
def test_every_mask(impl, mask, queries, keys, poisoned):
    q, k, v = inputs(queries, keys, width=24, sigma=3)
    stats = (*ALL, "sink_prob") if "sinks" in mask else ALL
    wanted = attention(q, k, v, stats=stats, impl="reference", **mask)
    got = attention(q, k, v, stats=stats, impl=impl, **mask)
    compare(got, wanted, q, k, stats)
    clear = wanted.max_prob > 0.2
    assert torch.equal(got.top_key[clear], wanted.top_key[clear])
    where = {name: value for name, value in mask.items() if name != "sinks"}
    rows, cols = (queries // 3, queries), (keys // 4, keys)
    for values in ("weight", "entropy"):
        window = [
            attention_window(q, k, wanted.lse, rows, cols, values=values, impl=way, **where)
            for way in (impl, "reference")
        ]
        assert_close(*window, bounds(q, k)["max_prob"] * 3, f"{values} of pairs")


@IMPLS
def test_several_blocks_and_segments(impl, poisoned):
    q, k, v = inputs(300, 700, sigma=2)
    segments = torch.arange(700).div(90, rounding_mode="floor").repeat(2, 1)
    images = (torch.arange(700) // 90 * 90 + 89).clamp(max=699)
    last_keys = torch.stack([torch.arange(700), images])
    for mask in (
        {"segments": segments}, {"segments": segments % 3}, {"window": 200},
        {"query_offset": 390}, {"last_keys": last_keys},
        {"last_keys": last_keys, "window": 50, "key_starts": torch.tensor([0, 95])},
        {"last_keys": last_keys, "query_offset": -30},
        {"last_keys": last_keys, "query_offset": 450},
    ):  # fmt: skip
        wanted = attention(q, k, v, stats=ALL, impl="reference", **mask)
        compare(attention(q, k, v, stats=ALL, impl=impl, **mask), wanted, q, k, ALL)


@IMPLS
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_short_floats_are_answered_in_their_type(impl, dtype):
    q, k, v = (t.to(dtype) for t in inputs(63, 63))
    wanted = attention(q, k, v, impl="reference")
    got = attention(q, k, v, impl=impl)
    assert got.out.dtype == dtype
    assert got.entropy.dtype == torch.float32
    assert_close(got.entropy, wanted.entropy, bounds(q, k)["entropy"])
    assert_close(got.out, wanted.out, 0.02)


@IMPLS
def test_uniform_rows_reach_ln_visible(impl):
    q, k, v = inputs(50, 50)
    got = attention(torch.zeros_like(q), k, v, impl=impl).entropy[0, 0]
    assert_close(got, (torch.arange(50) + 1.0).log(), 2e-6)


_LENGTH = 12_288
_FIRST_CALLS = f"""
import json, resource, sys, torch
from attentropy import attention, vocabulary
torch.manual_seed(0)
q, k, v = (torch.randn(1, 2, {_LENGTH}, 16) for _ in range(3))
attention(q[:, :, :64], k[:, :, :64], v[:, :, :64])
vocabulary(q[0, 0, :64], k[0, 0, :64], top_k=1)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
attention(q, k, v, stats=("entropy", "top_key", "distance"))
growth = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(json.dumps([growth, 'torch._dynamo' in sys.modules]))
"""


@pytest.fixture(scope="module")
def first_calls():
    """Return by how much the memory of a new process grew, and whether it has the compiler."""
    process = subprocess.run(
        [sys.executable, "-c", _FIRST_CALLS], capture_output=True, text=True, check=True
    )
    return json.loads(process.stdout)


def test_portable_never_holds_an_array_of_queries_by_keys(first_calls):
    unit = 1024 if sys.platform == "linux" else 1
    assert first_calls[0] * unit < 64 * 2**20 < 2 * _LENGTH * _LENGTH * 4 / 16


def test_a_first_call_does_not_import_the_compiler(first_calls):
    assert first_calls[1] is False
