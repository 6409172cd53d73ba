"""Hopper's kernel in Gluon agrees with the float64 reference; Triton cannot interpret it."""

import pytest
import torch

from attentropy import attention
from attentropy.kernels.attention import hopper_launch, triton_launch
from attentropy.kernels.common import gpu, tiles
from attentropy.kernels.common.mask import Mask
from attentropy.kernels.common.score import Score
from close import assert_close, bounds, inputs

STATS = ("entropy", "max_prob")
TYPES = {torch.bfloat16: 0.02, torch.float16: 0.003}  # what an output's rounding allows, |out| < 5

on_hopper = pytest.mark.gpu


@pytest.fixture
def cuda():
    if not torch.cuda.is_available() or torch.cuda.get_device_capability() != (9, 0):
        pytest.skip("no GPU of compute capability 9.0: the kernel in Gluon ran nowhere")
    return torch.device("cuda")


@pytest.fixture
def launched(monkeypatch):
    """Return a list that gets one entry per launch of the kernel under test."""
    launches, launch = [], hopper_launch.forward

    def counted(*args):
        launches.append("forward")
        launch(*args)

    monkeypatch.setattr(hopper_launch, "forward", counted)
    return launches


def _inputs(cuda, dtype, *shape, **arguments):
    return tuple(t.to(cuda, dtype) for t in inputs(*shape, **arguments))


@on_hopper
@pytest.mark.parametrize("dim", [64, 128])
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize(
    ("queries", "keys", "first"),
    [(1000, 1000, 0), (257, 3001, 2744), (257, 3001, 77), (640, 640, 0), (130, 77, 0), (700, 1, 0)],
)
def test_forward_matches_the_reference(
    cuda, dim, dtype, causal, queries, keys, first, launched, poisoned
):
    q, k, v = _inputs(cuda, dtype, queries, keys, dim=dim, sigma=3)
    arguments = {"causal": causal, "query_offset": first}
    wanted = attention(q, k, v, stats=STATS, impl="reference", **arguments)
    results = triton_launch.attention(
        q, k, v, score=Score(dim**-0.5), mask=Mask(queries, keys, first, causal=causal), sinks=None,
        stats=STATS, splits=1,
    )  # fmt: skip
    assert launched == ["forward"]
    limits = bounds(q, k) | {"out": TYPES[dtype]}
    for name in ("out", "lse", *STATS):
        assert_close(results[name], getattr(wanted, name), limits[name], name)
    assert (results["entropy"] >= 0).all()
    if causal and first == 0:
        assert (results["entropy"][:, :, 0] == 0).all()


@on_hopper
@pytest.mark.parametrize("stats", [(), ("entropy",), ("max_prob",)])
def test_statistics_are_what_was_asked_for(cuda, stats, launched, poisoned):
    q, k, v = _inputs(cuda, torch.bfloat16, 900, 900)
    got = attention(q, k, v, stats=stats)
    wanted = attention(q, k, v, stats=stats, impl="reference")
    assert launched == ["forward"]
    for name in STATS:
        assert (getattr(got, name) is None) == (name not in stats)
    for name in ("lse", *stats):
        assert_close(getattr(got, name), getattr(wanted, name), bounds(q, k)[name], name)


@on_hopper
def test_strided_inputs_are_read_in_place(cuda, launched):
    q, k, v = _inputs(cuda, torch.bfloat16, 900, 900)
    laid = [t.transpose(1, 2).contiguous().transpose(1, 2) for t in (q, k, v)]
    assert not laid[0].is_contiguous()
    assert torch.equal(attention(*laid).entropy, attention(q, k, v).entropy)
    assert launched == ["forward"] * 2


@on_hopper
@pytest.mark.parametrize("dim", [64, 128])
@pytest.mark.parametrize(("sigma", "offset"), [(1, 0), (12, 0), (1, 300), (12, -300)])
def test_rows_of_131072_keys_hold_the_bound(cuda, dim, sigma, offset, launched, poisoned):
    n = 131_072
    q, k, v = (t[:1, :1].to(cuda) for t in inputs(n, n, 1, 1, dim, sigma=sigma))
    if offset:  # common to all scores
        q[..., 0], k[..., 0] = 4.0, offset * dim**0.5 / 4.0
    q, k, v = (t.bfloat16() for t in (q, k, v))
    got = attention(q, k, v, stats=STATS)
    assert launched == ["forward"]
    assert got.entropy.isfinite().all()
    limits = bounds(q[:, :, -8:], k) | {"out": 0.05}
    for first in (n - 8, n // 3):
        rows = slice(first, first + 8)
        wanted = attention(q[:, :, rows], k, v, stats=STATS, query_offset=first, impl="reference")
        for name in ("out", "lse", *STATS):
            assert_close(getattr(got, name)[:, :, rows], getattr(wanted, name), limits[name], name)


@on_hopper
def test_what_is_not_plain_is_left_to_the_general_kernel(cuda, launched):
    q, k, v = _inputs(cuda, torch.bfloat16, 300, 300)
    starts = torch.zeros(2, dtype=torch.int64, device=cuda)
    for arguments in (
        {"window": 7}, {"chunk": 16}, {"softcap": 5.0}, {"sinks": torch.zeros(4, device=cuda)},
        {"key_starts": starts}, {"scale": -0.3}, {"stats": ("varentropy",)}, {"query_offset": -3},
    ):  # fmt: skip
        attention(q, k, v, **arguments)
    attention(q[..., :48].contiguous(), k[..., :48].contiguous(), v)
    attention(q.float(), k.float(), v.float())
    assert launched == []


@pytest.mark.parametrize(
    ("shape", "arguments", "served"),
    [
        ((130, 130, 64), {}, True),
        ((130, 130, 128), {"stats": ("max_prob", "entropy")}, True),
        ((130, 200, 128), {"causal": False, "query_offset": -9}, True),
        ((130, 200, 128), {"query_offset": -9}, False),
        ((130, 130, 96), {}, False),
        ((130, 130, 128, 64), {}, False),
        ((130, 0, 64), {}, False),
        ((7, 130, 64), {}, False),
        ((130, 130, 64), {"splits": 2}, False),
        ((130, 130, 64), {"stats": ("distance",)}, False),
        ((130, 130, 64), {"window": 9}, False),
        ((130, 130, 64), {"segments": torch.zeros(2, 130)}, False),
        ((130, 130, 64), {"sinks": torch.zeros(4)}, False),
        ((130, 130, 64), {"softcap": 9.0}, False),
        ((130, 130, 64), {"scale": -0.1}, False),
    ],
    ids=str,
)
def test_only_plain_calls_of_known_sizes_are_served(monkeypatch, shape, arguments, served):
    monkeypatch.setattr(gpu, "check_device", lambda *args: None)
    monkeypatch.setattr(tiles, "architecture_of", lambda device: "sm_90")
    taken_by = []
    monkeypatch.setattr(hopper_launch, "forward", lambda *args: taken_by.append("hopper"))
    monkeypatch.setattr(triton_launch, "_launch", lambda *args: taken_by.append("general"))
    queries, keys, *sizes = shape
    q, k, v = (t.bfloat16() for t in inputs(queries, keys, 4, 2, *sizes))
    score = {"scale": 0.1} | {n: x for n, x in arguments.items() if n in ("scale", "softcap")}
    call = {"sinks": None, "stats": (), "splits": 1}
    call |= {n: x for n, x in arguments.items() if n in call}
    hidden = {n: x for n, x in arguments.items() if n not in {*call, *score, "query_offset"}}
    mask = Mask(queries, keys, arguments.get("query_offset", keys - queries), **hidden)
    monkeypatch.setattr(triton_launch, "merge", lambda *args: {})
    triton_launch.attention(q, k, v, score=Score(**score), mask=mask, **call)
    assert taken_by == ["hopper" if served else "general"]
