"""Entropy from PyTorch's fused attention on a CPU agrees with the float64 reference."""

import pytest
import torch

from attentropy import attention
from attentropy.kernels.attention import cpu, portable
from attentropy.kernels.common.mask import Mask
from attentropy.kernels.common.score import Score
from close import assert_close, bounds, inputs

ENTROPY = ("entropy",)


@pytest.fixture(autouse=True)
def blocks_are_not_used(monkeypatch):
    """Refuse attention in blocks, so that the tests check the fused kernel alone."""

    def refuse(*arguments):
        raise AssertionError("computed in blocks")

    monkeypatch.setattr(portable, "_in_blocks", refuse)


def _compare(q, k, v, stats=ENTROPY, **mask):
    got = attention(q, k, v, stats=stats, impl="portable", **mask)
    wanted = attention(q, k, v, stats=stats, impl="reference", **mask)
    limits = bounds(q, k)
    for name in (*stats, "lse", "out"):
        assert_close(getattr(got, name), getattr(wanted, name), limits[name], name)


@pytest.mark.parametrize("sigma", [1, 4, 12])
@pytest.mark.parametrize("offset", [0, 300, -300])
@pytest.mark.parametrize("n", [32, 111, 257])
def test_peaky_and_shifted_scores(sigma, offset, n):
    _compare(*inputs(n, n, sigma=sigma, offset=offset))


@pytest.mark.parametrize("stats", [(), ENTROPY])
@pytest.mark.parametrize("width", [24, 40])
@pytest.mark.parametrize(
    ("queries", "keys", "mask"),
    [
        (57, 57, {"causal": False}),
        (57, 33, {"causal": False}),
        (35, 301, {}),
        (35, 301, {"query_offset": 0}),
        (35, 301, {"query_offset": 100}),
        (57, 57, {"sinks": torch.tensor([-3.0, 0.0, 2.0, 9.0])}),
    ],
)
def test_every_place_of_the_queries_and_sizes_of_heads(queries, keys, mask, width, stats):
    stats = (*stats, "sink_prob") if "sinks" in mask else stats
    _compare(*inputs(queries, keys, width=width, sigma=3), stats, **mask)


def test_keys_that_no_query_sees_may_hold_anything():
    q, k, v = inputs(40, 100, sigma=2)
    wanted = attention(q, k, v, stats=ENTROPY, query_offset=20, impl="reference")
    k[:, :, 60:], v[:, :, 60:] = torch.nan, torch.nan
    got = attention(q, k, v, stats=ENTROPY, query_offset=20, impl="portable")
    assert_close(got.entropy, wanted.entropy, 1e-4)
    assert_close(got.out, wanted.out, 1e-4)


def test_keys_in_runs_give_the_same(monkeypatch):
    q, k, v = inputs(64, 300, sigma=2)
    at_once = attention(q, k, v, stats=ENTROPY, impl="portable")
    monkeypatch.setattr(cpu, "_BYTES", 1)
    monkeypatch.setattr(cpu, "_RUN", 40)
    in_turn = attention(q, k, v, stats=ENTROPY, impl="portable")
    for name in ("out", "lse", "entropy"):
        assert_close(getattr(in_turn, name), getattr(at_once, name), 1e-5, name)


def test_float64_stays_float64():
    q, k, v = (t.double() for t in inputs(50, 90, sigma=3))
    got = attention(q, k, v, stats=ENTROPY, impl="portable")
    wanted = attention(q, k, v, stats=ENTROPY, impl="reference")
    assert_close(got.entropy, wanted.entropy, 1e-12)


def test_a_row_of_one_key_has_next_to_no_entropy_and_none_is_negative():
    q, k, v = inputs(300, 300, sigma=12, offset=300)
    entropy = attention(q, k, v, stats=ENTROPY, impl="portable").entropy
    assert (entropy[..., 0] < 1e-5).all()
    assert (entropy >= 0).all()


@pytest.mark.parametrize(
    "changed",
    [{"window": 3}, {"chunk": 4}, {"key_starts": torch.tensor([1])}, {"queries": 5},
     {"query_offset": 90}],
)  # fmt: skip
def test_what_it_does_not_know_goes_elsewhere(changed):
    q, k = torch.zeros(1, 2, 40, 8), torch.zeros(1, 2, 100, 8)
    plain = {"queries": 40, "keys": 100, "query_offset": 60}
    assert cpu.supports(q, k, Mask(**plain), ENTROPY, Score(1.0))
    assert not cpu.supports(q, k, Mask(**plain | changed), ENTROPY, Score(1.0))
    assert not cpu.supports(q, k, Mask(**plain), (*ENTROPY, "max_prob"), Score(1.0))
    assert not cpu.supports(q, k, Mask(**plain), ENTROPY, Score(1.0, softcap=2.0))
