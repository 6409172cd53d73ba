"""`hopper_lazy`, emulated step by step in float32, holds the bounds, and serves what it should."""

import math
from types import SimpleNamespace

import lazy_emulation
import odd_attention
import odd_cases
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from lazy_cases import KEYS, LOW, PADDING, TYPES, hostile
from odd_fuzz import Case

from attention_cases import ALL
from attentropy import attention
from attentropy.kernels.attention import hopper_lazy_launch, triton_launch
from attentropy.kernels.common import gpu, tiles
from attentropy.kernels.common.mask import Mask
from attentropy.kernels.common.score import Score
from close import assert_close, available, bounds, inputs

WIDE, NARROW = (tiles._HOPPER_LAZY[64][name] for name in ("wide", "narrow"))


def _emulate(q, k, v, tile, *, scale=None, causal=True, query_offset=None, **others):
    names = {"key_starts": "starts", "key_lengths": "lengths", "sinks": "sinks"}
    available("cpu")  # top keys are found in Triton's interpreter
    return lazy_emulation.attention(
        q, k, v, tile, scale=q.shape[-1] ** -0.5 if scale is None else scale, causal=causal,
        offset=query_offset, **{names[name]: value for name, value in others.items()},
    )  # fmt: skip


def _compare(got, wanted, limits, q, k, v, arguments):
    for name in (*LOW, "out"):
        assert_close(got[name], getattr(wanted, name), limits[name], name)
    if wanted.sink_prob is not None:
        assert_close(got["sink_prob"], wanted.sink_prob, limits["sink_prob"], "sink_prob")
    mine, true = got["top_key"].cpu(), wanted.top_key.cpu()
    assert torch.equal(mine == -1, true == -1)
    clear = wanted.max_prob.cpu() > 0.55  # only one weight can be so large
    assert torch.equal(mine[clear], true[clear])


@pytest.mark.parametrize("padding", PADDING)
@pytest.mark.parametrize(
    ("shape", "dim", "causal", "tile"),
    [
        ((200, 301), 64, True, WIDE),
        ((200, 301), 64, False, NARROW),
        ((301, 301), 96, True, tiles._HOPPER_LAZY[128]["wide"]),
        ((70, 130), 256, True, tiles._HOPPER_LAZY[256]["wide"]),
    ],
)
def test_the_emulated_kernel_holds_the_bounds(padding, shape, dim, causal, tile):
    q, k, v = (t.bfloat16() for t in inputs(*shape, 2, 1, dim, sigma=3))
    arguments = {"causal": causal, **PADDING[padding]}
    if padding in ("none", "both"):
        arguments["sinks"] = torch.tensor([-3.0, 2.0])
    stats = (*ALL, "sink_prob") if "sinks" in arguments else ALL
    got, _ = _emulate(q, k, v, tile, **arguments)
    wanted = attention(q, k, v, stats=stats, impl="reference", **arguments)
    limits = bounds(q, k) | {"out": TYPES[torch.bfloat16]}
    _compare(got, wanted, limits, q, k, v, arguments)


@pytest.mark.parametrize("tile", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("kind", hostile())
def test_hostile_scores_lose_no_more_than_the_bound(kind, tile):
    scores = hostile()[kind].float()
    q, k = torch.eye(64)[None, None], scores.T[None, None]
    v = torch.randn(1, 1, KEYS, 64, generator=torch.Generator().manual_seed(1))
    arguments = {"scale": 1.0, "causal": False}
    got, raised = _emulate(q, k, v, tile, **arguments)
    wanted = attention(q, k, v, stats=ALL, impl="reference", **arguments)
    limits = bounds(q, k, 1.0)
    _compare(got, wanted, limits, q, k, v, arguments)
    ties = scores == scores.amax(1, keepdim=True)
    assert torch.equal(got["top_key"][0, 0].long(), ties.int().argmax(1))  # the first of them
    if kind in ("normal", "wide", "far above", "far below", "all equal"):
        assert raised <= 4 * 64 * KEYS // tile.keys // 4  # of 64 rows per tile


# Scores above 2^31 round by more than float32's exponents hold, in every kernel that fuses m · c.
TOO_LARGE = ("query far too large",)
ODD = {
    name: case
    for name, case in (odd_cases.ODD_VALUES | odd_cases.ODD_WEIGHTS).items()
    if case()[3].keys() <= {"causal", "key_starts", "key_lengths", "sinks", "scale"}
    and case()[3].get("scale", 1.0) >= 1e-6
    and name not in TOO_LARGE
}


@pytest.mark.parametrize("name", ODD)
def test_odd_values_give_what_the_definitions_say(name):
    q, k, v, arguments = ODD[name]()
    got, _ = _emulate(q, k, v, WIDE, **arguments)
    got["out"] = got["out"].to(v.dtype)
    stats = (*odd_attention.STATS, "sink_prob") if "sinks" in arguments else odd_attention.STATS
    odd_attention.check_results(SimpleNamespace(**got), "triton", stats, q, k, v, arguments)


@pytest.mark.costly
@example(4895943)  # NaN in the value of a key that a row without keys does not see
@settings(max_examples=20, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1))
def test_random_calls_give_what_the_definitions_say(seed):
    """Queries, keys and values with odd values in random places, with padding of any kind."""
    case = Case(seed)
    q, k, *_ = case.attention()
    v = case.normal(*k.shape).to(k.dtype)
    case.spoil(v)
    batch, heads, keys = q.shape[0], q.shape[1], k.shape[2]
    arguments = {"causal": case.chance(0.7), "scale": case.choose(None, 1e-5, 3.0)}
    for name, low in (("key_starts", -3), ("key_lengths", 0)):
        if case.chance(0.5):
            arguments[name] = torch.tensor(case.random.integers(low, keys + 3, batch))
    if case.chance(0.3):
        arguments["sinks"] = case.normal(heads) * 5
    arguments["query_offset"] = int(case.random.integers(0, keys + 3))
    got, _ = _emulate(q, k, v, case.choose(WIDE, NARROW), **arguments)
    got["out"] = got["out"].to(v.dtype)
    stats = (*odd_attention.STATS, "sink_prob") if "sinks" in arguments else odd_attention.STATS
    odd_attention.check_results(SimpleNamespace(**got), "triton", stats, q, k, v, arguments)


@pytest.mark.parametrize(
    ("shape", "arguments", "served"),
    [
        ((130, 130, 64), {"stats": ALL}, True),
        ((130, 130, 96), {"stats": ("entropy",)}, True),
        ((130, 200, 256), {"causal": False, "query_offset": -9}, True),
        ((130, 130, 128), {"sinks": torch.zeros(4)}, True),
        ((130, 130, 128), {"key_starts": torch.zeros(2), "key_lengths": torch.ones(2)}, True),
        ((130, 200, 128), {"query_offset": -9}, False),
        ((130, 130, 48), {}, False),
        ((130, 130, 160), {}, False),
        ((130, 130, 128, 64), {}, False),
        ((130, 130, 64), {"window": 9}, False),
        ((130, 130, 64), {"chunk": 16}, False),
        ((130, 130, 64), {"segments": torch.zeros(2, 130)}, False),
        ((130, 130, 64), {"softcap": 9.0}, False),
        ((130, 130, 64), {"splits": 2}, False),
        ((7, 130, 64), {}, False),
    ],
    ids=str,
)
@pytest.mark.parametrize("is_requested", [True, False])
def test_only_calls_that_the_environment_asks_for_are_served(
    monkeypatch, shape, arguments, served, is_requested
):
    monkeypatch.setattr(gpu, "check_device", lambda *args: None)
    monkeypatch.setattr(tiles, "architecture_of", lambda device: "sm_90")
    monkeypatch.delenv("ATTENTROPY_HOPPER", raising=False)
    if is_requested:
        monkeypatch.setenv("ATTENTROPY_HOPPER", "lazy")
    taken_by = []
    monkeypatch.setattr(hopper_lazy_launch, "forward", lambda *args: taken_by.append("lazy"))
    monkeypatch.setattr(triton_launch, "_launch", lambda *args: taken_by.append("general"))
    monkeypatch.setattr(
        triton_launch.tiles, "choose_hopper", lambda *args: None
    )  # the kernel for entropy alone
    monkeypatch.setattr(triton_launch, "merge", lambda *args: {})
    queries, keys, *sizes = shape
    q, k, v = (t.bfloat16() for t in inputs(queries, keys, 4, 2, *sizes))
    call = {"sinks": None, "stats": (), "splits": 1}
    call |= {n: x for n, x in arguments.items() if n in call}
    softcap = arguments.get("softcap")
    hidden = {n: x for n, x in arguments.items() if n not in {*call, "softcap", "query_offset"}}
    mask = Mask(queries, keys, arguments.get("query_offset", keys - queries), **hidden)
    triton_launch.attention(q, k, v, score=Score(0.1, softcap), mask=mask, **call)
    assert taken_by == ["lazy" if served and is_requested else "general"]


def test_scores_may_exceed_the_maximum_by_what_float16_holds():
    assert math.log2(torch.finfo(torch.float16).max) > lazy_emulation.RISE
    assert lazy_emulation.HIDDEN < lazy_emulation.FLOOR
