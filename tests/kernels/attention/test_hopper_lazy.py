"""`hopper_lazy`, emulated step by step, holds the bounds; on a GPU the kernel itself does."""

import math
from types import SimpleNamespace

import lazy_emulation
import odd_cases
import pytest
import torch

from attention_cases import ALL
from attentropy import attention
from attentropy.kernels.attention import hopper_lazy_launch, triton_launch
from attentropy.kernels.common import gpu, tiles
from attentropy.kernels.common.mask import Mask
from attentropy.kernels.common.score import Score
from attentropy.kernels.common.statistics import STATISTICS
from close import assert_close, available, bounds, inputs

LOW = ("lse", "entropy", "max_prob", "max_logit", "varentropy", "distance", "sink_mass")
TYPES = {torch.bfloat16: 0.02, torch.float16: 0.003}  # what an output's rounding allows
WIDE, NARROW = (tiles._HOPPER_LAZY[64][name] for name in ("wide", "narrow"))
PADDING = {
    "none": {},
    "left": {"key_starts": torch.tensor([130, 0])},
    "right": {"key_lengths": torch.tensor([77, 301])},
    "both": {"key_starts": torch.tensor([9, -2]), "key_lengths": torch.tensor([150, 201])},
    "a sequence without a key": {"key_lengths": torch.tensor([0, 300])},
}


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


KEYS = 4096


def _hostile():
    """Return scores [64, KEYS] that are hard to sum, by name."""
    random = torch.Generator().manual_seed(0)
    normal = torch.randn(64, KEYS, generator=random)
    at = torch.arange(KEYS)
    sinks = {lead: normal + torch.where(at == 0, float(lead), 0.0) for lead in (20, 88)}
    steps = (at // 128).flip(0)
    return {
        "normal": normal,
        "wide": normal * 12,
        "far above": normal + 300,
        "far below": normal * 5 - 300,
        "a sink": sinks[20],
        "a sink far above": sinks[88],
        "a rise in each tile": normal + steps * 7.0,
        "rises just below the threshold": normal * 0.01 + steps * 5.54,  # 8 in base 2 is 5.545 nats
        "one rise just below the threshold": normal * 0.01 + 5.5 * (at < KEYS - 128),
        "all equal": torch.full((64, KEYS), 7.3),
        "one key": torch.where(at == 77, 30.0, -50.0).expand(64, -1),
        "large": normal * 1e5,
        "two peaks of one height": torch.where(at % 2048 == 5, 40.0, 0.0).expand(64, -1),
        "each row another peak": torch.where(at == 61 * torch.arange(64)[:, None], 25.0, 0.0),
    }


@pytest.mark.parametrize("tile", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("kind", _hostile())
def test_hostile_scores_lose_no_more_than_the_bound(kind, tile):
    scores = _hostile()[kind].float()
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
    stats = (*odd_cases.STATS, "sink_prob") if "sinks" in arguments else odd_cases.STATS
    odd_cases.check_results(SimpleNamespace(**got), "triton", stats, q, k, v, arguments)


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


@pytest.fixture
def cuda(monkeypatch):
    if not torch.cuda.is_available() or torch.cuda.get_device_capability() != (9, 0):
        pytest.skip("no GPU of compute capability 9.0: the kernel in Gluon ran nowhere")
    monkeypatch.setenv("ATTENTROPY_HOPPER", "lazy")
    return torch.device("cuda")


@pytest.fixture
def launched(monkeypatch):
    """Return a list that gets one entry per launch of the kernel under test."""
    launches, launch = [], hopper_lazy_launch.forward

    def counted(*args):
        launches.append("forward")
        launch(*args)

    monkeypatch.setattr(hopper_lazy_launch, "forward", counted)
    return launches


def _on(cuda, dtype, *shape, **arguments):
    return tuple(t.to(cuda, dtype) for t in inputs(*shape, **arguments))


SETS = {
    "none": (),
    "entropy": ("entropy",),
    "default": ("entropy", "max_prob", "distance", "sink_mass", "top_key"),
    "all": tuple(name for name in STATISTICS if name != "sink_prob"),
}


# Each call is a kernel of its own, which takes seconds to compile: so not all of all.
@pytest.mark.gpu
@pytest.mark.parametrize("stats", SETS)
@pytest.mark.parametrize(
    ("dim", "dtype"),
    [(dim, torch.bfloat16) for dim in (64, 96, 128, 256)] + [(72, torch.float16)],
)
@pytest.mark.parametrize(
    ("causal", "padding"),
    [(True, "none"), (False, "none"), (True, "both"), (False, "left"), (True, "right"),
     (True, "a sequence without a key")],
)  # fmt: skip
def test_the_kernel_matches_the_reference(
    cuda, dim, dtype, causal, padding, stats, launched, poisoned
):
    q, k, v = _on(cuda, dtype, 301, 301, dim=dim, sigma=3)
    arguments = {name: value.to(cuda) for name, value in PADDING[padding].items()}
    if padding in ("none", "both"):
        arguments["sinks"] = torch.tensor([-3.0, 0.0, 2.0, 9.0], device=cuda)
    names = (*SETS[stats], "sink_prob") if stats == "all" and "sinks" in arguments else SETS[stats]
    got = attention(q, k, v, causal=causal, stats=names, **arguments)
    assert launched == ["forward"]
    wanted = attention(q, k, v, causal=causal, stats=(*names, "max_prob"), impl="reference",
                       **arguments)  # fmt: skip
    limits = bounds(q, k) | {"out": TYPES[dtype]}
    for name in ("out", "lse", *(n for n in names if n != "top_key")):
        assert_close(getattr(got, name), getattr(wanted, name), limits[name], name)
    if "top_key" in names:
        assert torch.equal(got.top_key == -1, wanted.top_key == -1)
        clear = wanted.max_prob > 0.55
        assert torch.equal(got.top_key[clear], wanted.top_key[clear])


@pytest.mark.gpu
@pytest.mark.parametrize("dim", [64, 128, 256])
@pytest.mark.parametrize("kind", _hostile())
def test_the_kernel_sums_hostile_scores(cuda, dim, kind, launched, poisoned):
    scores = _hostile()[kind].bfloat16()
    q = torch.zeros(1, 1, 64, dim, device=cuda)
    q[0, 0] = torch.eye(64, dim)
    k = torch.zeros(1, 1, KEYS, dim, device=cuda)
    k[0, 0, :, :64] = scores.T
    q, k = q.bfloat16(), k.bfloat16()
    arguments = {"scale": 1.0, "causal": False}
    got = attention(q, k, k, stats=SETS["all"], **arguments)
    assert launched == ["forward"]
    wanted = attention(q, k, k, stats=SETS["all"], impl="reference", **arguments)
    limits = bounds(q, k, 1.0)
    for name in (*LOW,):
        assert_close(getattr(got, name), getattr(wanted, name), limits[name], name)
    ties = scores == scores.amax(1, keepdim=True)
    assert torch.equal(got.top_key[0, 0].cpu().long(), ties.int().argmax(1))


@pytest.mark.gpu
@pytest.mark.parametrize("dim", [64, 128])
@pytest.mark.parametrize("name", ["NaN in a key", "inf in a key", "NaN in padding",
                                  "all scores -inf", "sinks NaN and inf"])  # fmt: skip
def test_the_kernel_passes_odd_values_on(cuda, dim, name, launched):
    q, k, v, arguments = odd_cases.ODD_VALUES[name]()
    pad = (0, dim - q.shape[-1], 0, 130)
    q, k, v = (torch.nn.functional.pad(x, pad).bfloat16() for x in (q, k, v))
    arguments = arguments | {"scale": 0.2}
    on_gpu = {n: x.to(cuda) if isinstance(x, torch.Tensor) else x for n, x in arguments.items()}
    got = attention(q.to(cuda), k.to(cuda), v.to(cuda), stats=SETS["all"], **on_gpu)
    assert launched == ["forward"]
    results = {n: x.cpu() for n, x in vars(got).items() if x is not None}
    odd_cases.check_results(SimpleNamespace(**results), "triton", SETS["all"], q, k, v, arguments)


@pytest.mark.gpu
@pytest.mark.parametrize("dim", [64, 128])
def test_rows_of_131072_keys_hold_the_bound(cuda, dim, launched, poisoned):
    n = 131_072
    q, k, v = (t[:1, :1].to(cuda).bfloat16() for t in inputs(n, n, 1, 1, dim, sigma=6))
    got, again = (attention(q, k, v, stats=SETS["all"]) for _ in range(2))
    assert launched == ["forward"] * 2
    for name, values in vars(got).items():
        if values is not None:
            assert torch.equal(values, getattr(again, name)), name
    limits = bounds(q[:, :, -8:], k) | {"out": 0.05}
    for first in (n - 8, n // 3):
        rows = slice(first, first + 8)
        wanted = attention(
            q[:, :, rows], k, v, stats=SETS["all"], query_offset=first, impl="reference"
        )
        for name in ("out", *LOW):
            assert_close(getattr(got, name)[:, :, rows], getattr(wanted, name), limits[name], name)
        clear = wanted.max_prob > 0.55
        assert torch.equal(got.top_key[:, :, rows][clear], wanted.top_key[clear])


def test_scores_may_exceed_the_maximum_by_what_float16_holds():
    assert math.log2(torch.finfo(torch.float16).max) > lazy_emulation.RISE
    assert lazy_emulation.HIDDEN < lazy_emulation.FLOOR
