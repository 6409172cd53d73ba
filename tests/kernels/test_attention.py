"""Portable and triton agree with the float64 reference, within what float32 scores can hold."""

import math
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings, strategies

from attentropy import attention, attention_window
from attentropy.kernels.common import gpu as launch
from attentropy.kernels.common import tiles
from close import assert_close, bounds, inputs, on_devices
from close import available as _device

ALL = ("entropy", "max_prob", "varentropy", "distance", "sink_mass", "top_key")
MASKS = {
    "causal": {},
    "full": {"causal": False},
    "window": {"window": 7},
    "symmetric window": {"window": 7, "causal": False},
    "window of one": {"window": 1},
    "chunk": {"chunk": 16},
    "softcap": {"softcap": 5.0},
    "slopes": {"slopes": torch.tensor([0.5, 0.25, 0.125, 0.0625])},
    "sinks": {"sinks": torch.tensor([-3.0, 0.0, 2.0, 9.0])},
    "left padding": {"key_starts": torch.tensor([9, 0])},
    "right padding": {"key_lengths": torch.tensor([5, 57])},
    "chunks in padding": {"key_starts": torch.tensor([9, 0]), "chunk": 10},
    "padding before the cache": {"key_starts": torch.tensor([-3, -6]), "chunk": 10},
}


def _on(device, mask, heads):
    """The mask on the device, for its four heads or the first and the last of them."""
    chosen = {4: slice(None), 2: slice(None, None, 3)}[heads]
    mask = {n: m[chosen] if n in ("slopes", "sinks") else m for n, m in mask.items()}
    return {n: m.to(device) if isinstance(m, torch.Tensor) else m for n, m in mask.items()}


def _compare(got, wanted, q, k, stats, scale=None, out=None):
    limits = bounds(q, k, scale)
    if out is not None:  # rounded to the type of v
        limits["out"] = out
    for name in (*stats, "lse", "out"):
        if name != "top_key":
            assert_close(getattr(got, name), getattr(wanted, name), limits[name], name)


@pytest.mark.parametrize("sigma", [1, 4, 12])
@pytest.mark.parametrize("offset", [0, 300, -300])
@pytest.mark.parametrize("n", [1, 63, 111, 257])
def test_portable_matches_the_reference_on_peaky_and_shifted_scores(sigma, offset, n):
    q, k, v = inputs(n, n, sigma=sigma, offset=offset)
    wanted = attention(q, k, v, stats=ALL, impl="reference")
    _compare(attention(q, k, v, stats=ALL, impl="portable"), wanted, q, k, ALL)


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
@pytest.mark.parametrize(("queries", "keys"), [(57, 57), (5, 57), (57, 33)])
def test_portable_matches_the_reference_under_every_mask(mask, queries, keys):
    q, k, v = inputs(queries, keys, width=24, sigma=3)
    stats = (*ALL, "sink_prob") if "sinks" in mask else ALL
    wanted = attention(q, k, v, stats=stats, impl="reference", **mask)
    got = attention(q, k, v, stats=stats, impl="portable", **mask)
    _compare(got, wanted, q, k, stats)
    clear = wanted.max_prob > 0.2
    assert torch.equal(got.top_key[clear], wanted.top_key[clear])
    where = {name: value for name, value in mask.items() if name != "sinks"}
    rows, cols = (queries // 3, queries), (keys // 4, keys)
    for values in ("weight", "entropy"):
        window = [
            attention_window(q, k, wanted.lse, rows, cols, values=values, impl=impl, **where)
            for impl in ("portable", "reference")
        ]
        assert_close(*window, bounds(q, k)["max_prob"] * 3, values)


def test_portable_matches_the_reference_over_several_blocks_and_segments():
    q, k, v = inputs(700, 700, sigma=2)
    segments = torch.arange(700).div(90, rounding_mode="floor").repeat(2, 1)
    for mask in ({"segments": segments}, {"window": 200}, {"query_offset": 0}):
        wanted = attention(q, k, v, stats=ALL, impl="reference", **mask)
        _compare(attention(q, k, v, stats=ALL, impl="portable", **mask), wanted, q, k, ALL)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_portable_takes_short_floats_and_answers_in_their_type(dtype):
    q, k, v = (t.to(dtype) for t in inputs(63, 63))
    wanted = attention(q, k, v, impl="reference")
    got = attention(q, k, v, impl="portable")
    assert got.out.dtype == dtype
    assert got.entropy.dtype == torch.float32
    assert_close(got.entropy, wanted.entropy, bounds(q, k)["entropy"])
    assert_close(got.out, wanted.out, 0.02)


@on_devices
@pytest.mark.parametrize("sigma", [1, 4, 12])
@pytest.mark.parametrize("offset", [0, 300, -300])
def test_triton_matches_the_reference_on_peaky_and_shifted_scores(device, sigma, offset, poisoned):
    q, k, v = (t.to(_device(device)) for t in inputs(63, 63, sigma=sigma, offset=offset))
    wanted = attention(q, k, v, stats=ALL, impl="reference")
    _compare(attention(q, k, v, stats=ALL, impl="triton"), wanted, q, k, ALL)


@on_devices
@pytest.mark.parametrize(
    ("dim", "width"),
    [(32, 32), (40, 40), (64, 64), (80, 80), (96, 96), (128, 128), (192, 128), (256, 256)],
)
@pytest.mark.parametrize("causal", [True, False])
def test_triton_matches_the_reference_at_every_head_size(device, dim, width, causal, poisoned):
    q, k, v = inputs(70, 70, heads=2, kv_heads=1, dim=dim, width=width, sigma=2)
    q, k, v = (t.to(_device(device)) for t in (q, k, v))
    wanted = attention(q, k, v, causal=causal, stats=ALL, impl="reference")
    got = attention(q, k, v, causal=causal, stats=ALL, impl="triton")
    _compare(got, wanted, q, k, ALL)


@on_devices
@pytest.mark.parametrize(
    ("queries", "keys", "offset"),
    [(1, 1, None), (111, 111, None), (129, 129, None), (1, 257, None), (63, 111, None),
     (111, 63, None), (63, 111, 0), (63, 63, -70)],
)  # fmt: skip
def test_triton_matches_the_reference_at_odd_lengths(device, queries, keys, offset, poisoned):
    q, k, v = (
        t.to(_device(device)) for t in inputs(queries, keys, heads=3, kv_heads=1, dim=32, width=20)
    )
    wanted = attention(q, k, v, stats=ALL, query_offset=offset, impl="reference")
    got = attention(q, k, v, stats=ALL, query_offset=offset, impl="triton")
    _compare(got, wanted, q, k, ALL)


@on_devices
@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
@pytest.mark.parametrize(
    ("queries", "keys"), [(57, 57), (5, 57), (57, 33), (1, 1), (99, 99), (1, 300)]
)
def test_triton_matches_the_reference_under_every_mask(device, mask, queries, keys, poisoned):
    heads = 4 if queries <= 5 else 2  # few queries: the heads of a key head share a block
    q, k, v = inputs(queries, keys, heads, heads // 2, dim=32, width=24, sigma=3)
    q, k, v = (t.to(_device(device)) for t in (q, k, v))
    mask = _on(device, mask, heads)
    stats = (*ALL, "sink_prob") if "sinks" in mask else ALL
    wanted = attention(q, k, v, stats=stats, impl="reference", **mask)
    got = attention(q, k, v, stats=stats, impl="triton", **mask)
    _compare(got, wanted, q, k, stats)
    clear = wanted.max_prob > 0.2
    assert torch.equal(got.top_key[clear], wanted.top_key[clear])


@on_devices
@pytest.mark.parametrize(
    "mask",
    [
        {"segments": torch.arange(140).div(45, rounding_mode="floor").repeat(2, 1)},
        {"segments": torch.arange(140).remainder(3).repeat(2, 1), "causal": False},
        {"window": 70, "softcap": 20.0, "sinks": torch.zeros(4)},
        {"chunk": 70, "key_starts": torch.tensor([3, 50]), "key_lengths": torch.tensor([125, 80])},
        {"window": 10, "causal": False, "slopes": torch.tensor([1.0, 0.5, 0.2, 0.1])},
        {"scale": -0.3},
        {"scale": 0.0, "causal": False},
    ],
    ids=lambda mask: "+".join(mask),
)
def test_triton_matches_the_reference_over_several_blocks(device, mask, poisoned):
    q, k, v = (t.to(_device(device)) for t in inputs(140, 140, sigma=2))
    mask = {n: m.to(device) if isinstance(m, torch.Tensor) else m for n, m in mask.items()}
    wanted = attention(q, k, v, stats=ALL, impl="reference", **mask)
    got = attention(q, k, v, stats=ALL, impl="triton", **mask)
    _compare(got, wanted, q, k, ALL, mask.get("scale"))


@on_devices
@pytest.mark.parametrize("splits", [2, 3, 9])
@pytest.mark.parametrize("name", ["causal", "full", "window", "sinks", "left padding", "chunk"])
def test_a_split_over_the_keys_merges_to_the_whole(device, splits, name, poisoned):
    from attentropy.kernels.attention import triton_launch as fused
    from attentropy.kernels.common.mask import Mask

    where = _device(device)
    q, k, v = (t.to(where) for t in inputs(7, 170, dim=32, sigma=3))
    chosen = _on(where, MASKS[name], 4)
    stats = (*ALL, "sink_prob") if "sinks" in chosen else ALL
    wanted = attention(q, k, v, stats=stats, impl="reference", **chosen)
    sinks = chosen.pop("sinks", None)
    mask = Mask(7, 170, 163, **({"causal": True} | chosen))
    found = fused.attention(
        q, k, v, scale=32**-0.5, softcap=None, slopes=None, sinks=sinks, mask=mask, stats=stats,
        splits=splits,
    )  # fmt: skip
    limits = bounds(q, k)
    for stat in (*stats, "lse", "out"):
        if stat != "top_key":
            assert_close(found[stat], getattr(wanted, stat), limits[stat], stat)
    clear = wanted.max_prob > 0.2
    assert torch.equal(found["top_key"][clear], wanted.top_key[clear])


@on_devices
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_triton_takes_short_floats_and_strided_inputs(device, dtype, poisoned):
    q, k, v = (t.to(_device(device), dtype) for t in inputs(63, 63))
    q, k, v = (t.transpose(1, 2).contiguous().transpose(1, 2) for t in (q, k, v))
    wanted = attention(q, k, v, stats=ALL, impl="reference")
    got = attention(q, k, v, stats=ALL, impl="triton")
    assert_close(got.entropy, wanted.entropy, bounds(q, k)["entropy"])
    assert_close(got.out, wanted.out, 0.02)


@pytest.fixture
def bulk(monkeypatch):
    """The interpreter's block takes keys and values by tensor descriptors, as newer GPUs do."""
    monkeypatch.setattr(tiles, "_INTERPRETED", replace(tiles._INTERPRETED, descriptors=True))


@pytest.mark.parametrize("name", [name for name in MASKS if name != "window of one"])
def test_keys_by_tensor_descriptors_give_the_same_numbers(name, bulk, poisoned):
    q, k, v = inputs(70, 75, heads=2, kv_heads=2, dim=40, width=24, sigma=2)
    q, k, v = (t.half().to(_device("cpu")) for t in (q, k, v))
    mask = _on("cpu", MASKS[name], 2)
    k, v = (t.transpose(1, 2).contiguous().transpose(1, 2) for t in (k, v))
    assert launch.takes_descriptors(k, v)
    wanted = attention(q, k, v, stats=ALL, impl="reference", **mask)
    got = attention(q, k, v, stats=ALL, impl="triton", **mask)
    _compare(got, wanted, q, k, ALL, out=5e-3)


@pytest.mark.parametrize("by", ["pointers", "descriptors"])
def test_padding_may_hold_anything(by, monkeypatch, poisoned):
    monkeypatch.setattr(
        tiles, "_INTERPRETED", replace(tiles._INTERPRETED, descriptors=by == "descriptors")
    )
    q, k, v = (t.half().to(_device("cpu")) for t in inputs(70, 70, dim=32, sigma=2))
    mask = {"key_starts": torch.tensor([9, 0]), "key_lengths": torch.tensor([41, 65])}
    wanted = attention(q, k, v, stats=ALL, impl="reference", **mask)
    hole = torch.ones(2, 1, 70, 1, dtype=torch.bool)
    hole[0, :, 9:50], hole[1, :, :65] = False, False
    k, v = (t.masked_fill(hole, math.nan) for t in (k, v))
    for impl in ("triton", "portable"):
        got = attention(q, k, v, stats=ALL, impl=impl, **mask)
        _compare(got, wanted, q, torch.nan_to_num(k), ALL, out=5e-3)


def test_what_bulk_copies_cannot_read_is_read_by_pointers():
    k = torch.zeros(2, 3, 40, 32, dtype=torch.float16)
    assert launch.takes_descriptors(k, k.transpose(1, 2))
    for other in (
        k[..., 1:], k[..., ::2], k[:, :0], k[:, :1].expand(-1, 3, -1, -1),
        torch.zeros(2, 3, 40, 33, dtype=torch.float16), k.transpose(2, 3),
    ):  # fmt: skip
        assert not launch.takes_descriptors(k, other)
    for architecture in ("sm_90", "sm_100"):
        for dtype, taken in ((torch.float16, True), (torch.float32, False)):
            tile = tiles.choose(architecture, 128, dtype, bulk=True, wide=False)
            assert tile.descriptors is taken


@on_devices
@pytest.mark.parametrize("impl", ["portable", "triton"])
def test_addresses_past_two_to_the_31_elements_are_right(device, impl):
    where = _device(device)
    small = [t.to(where, torch.float16) for t in inputs(35, 35, heads=2, kv_heads=2, dim=16)]
    far = []
    for x in small:  # rows 2^26 entries apart: the last one begins past 2^31
        room = torch.empty(35 * 2**26, dtype=torch.float16, device=where)
        view = room.as_strided(x.shape, (64, 16, 2**26, 1))
        far.append(view.copy_(x))
        assert (view.shape[2] - 1) * view.stride(2) > 2**31
        if device == "cuda":  # one tensor at a time fits
            break
    far += small[len(far) :]
    wanted = attention(*small, impl="reference")
    got = attention(*far, impl=impl)
    assert_close(got.entropy, wanted.entropy, bounds(*small[:2])["entropy"])
    assert_close(got.out, wanted.out, 5e-3)


@on_devices
@pytest.mark.parametrize("impl", ["portable", "triton"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("sigma", "offset"), [(1, 0), (12, 0), (1, 300), (12, -300)])
def test_rows_of_131072_keys_hold_the_bound(
    device, impl, dtype, sigma, offset, monkeypatch, poisoned
):
    monkeypatch.setattr(tiles, "_INTERPRETED", tiles.Tile(16, 4096, warps=1, stages=1))
    n, dim = 131_072, 16
    q, k, v = (t[:1].to(_device(device)) for t in inputs(8, n, 2, 1, dim, sigma=sigma))
    if offset:  # common to all scores
        q[..., 0], k[..., 0] = 4.0, offset * dim**0.5 / 4.0
    q, k, v = (t.to(dtype) for t in (q, k, v))
    for first in (n - 8, n // 3):
        wanted = attention(q, k, v, stats=ALL, query_offset=first, impl="reference")
        got = attention(q, k, v, stats=ALL, query_offset=first, impl=impl)
        _compare(got, wanted, q, k, ALL, out=None if dtype == torch.float32 else 0.05)


@given(data=strategies.data())
@settings(max_examples=12, deadline=None, derandomize=True)
def test_any_shape_and_mask_agrees_with_the_reference(data):
    if torch.cuda.is_available():
        pytest.skip("a GPU is here: every new shape would be compiled")
    draw = data.draw
    integer = strategies.integers
    kv_heads, group = draw(integer(1, 3)), draw(integer(1, 3))
    queries, keys = draw(integer(1, 90)), draw(integer(1, 90))
    dim, width = draw(integer(1, 48)), draw(integer(1, 48))
    q, k, v = inputs(
        queries, keys, kv_heads * group, kv_heads, dim, width, sigma=draw(integer(0, 6)),
        seed=draw(integer(0, 99)),
    )  # fmt: skip
    number = strategies.none() | integer(1, 100)
    mask = {
        "causal": draw(strategies.booleans()),
        "window": draw(number),
        "chunk": draw(number),
        "softcap": draw(strategies.none() | strategies.floats(0.5, 50)),
        "query_offset": draw(strategies.none() | integer(-40, 120)),
    }
    if draw(strategies.booleans()):
        mask["key_starts"] = torch.tensor([draw(integer(-20, 60)), draw(integer(0, 60))])
        mask["key_lengths"] = torch.tensor([draw(integer(0, 90)), draw(integer(0, 90))])
    if draw(strategies.booleans()):
        mask["segments"] = torch.arange(keys).div(draw(integer(1, 50))).int().repeat(2, 1)
    wanted = attention(q, k, v, stats=ALL, impl="reference", **mask)
    for impl in ("portable", "triton"):
        _compare(attention(q, k, v, stats=ALL, impl=impl, **mask), wanted, q, k, ALL)


@pytest.mark.gpu
def test_triton_is_what_a_gpu_runs_by_default():
    q, k, v = (t.to(_device("cuda")) for t in inputs(300, 300, dim=128))
    by_default, fused = (attention(q, k, v, stats=ALL, impl=i) for i in (None, "triton"))
    assert torch.equal(by_default.entropy, fused.entropy)


@pytest.mark.parametrize("impl", ["reference", "portable", "triton"])
def test_the_first_causal_row_is_certain_to_the_last_bit(impl):
    q, k, v = inputs(9, 9, sigma=7)
    if impl == "triton":
        _device("cpu")
    entropy = attention(q, k, v, impl=impl).entropy
    assert (entropy[:, :, 0] == 0).all()
    assert (entropy >= 0).all()


def test_uniform_rows_reach_ln_visible():
    q, k, v = inputs(50, 50)
    got = attention(torch.zeros_like(q), k, v, impl="portable").entropy[0, 0]
    assert_close(got, (torch.arange(50) + 1.0).log(), 2e-6)


_LONG = """
import resource, torch
from attentropy import attention
torch.manual_seed(0)
q, k, v = (torch.randn(1, 2, {n}, 16) for _ in range(3))
attention(q[:, :, :64], k[:, :, :64], v[:, :, :64])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
attention(q, k, v, stats=("entropy", "top_key", "distance"))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_portable_never_holds_an_array_of_queries_by_keys():
    n = 16_384
    done = subprocess.run(
        [sys.executable, "-c", _LONG.format(n=n)], capture_output=True, text=True, check=True
    )
    unit = 1024 if sys.platform == "linux" else 1
    assert int(done.stdout) * unit < 64 * 2**20 < 2 * n * n * 4 / 16


BAD = [
    ({"q": torch.zeros(2, 3, 4)}, ValueError, "dimensions"),
    ({"q": torch.zeros(2, 3, 9, 64)}, ValueError, "multiple"),
    ({"k": torch.zeros(2, 2, 9, 32)}, ValueError, "head size"),
    ({"v": torch.zeros(2, 2, 8, 64)}, ValueError, "v differs"),
    ({"q": torch.zeros(2, 4, 9, 64, dtype=torch.int32)}, TypeError, "floating"),
    ({"stats": ("entrpy",)}, ValueError, "entrpy"),
    ({"stats": ("sink_prob",)}, ValueError, "no sinks"),
    ({"sinks": torch.zeros(3)}, ValueError, "one per head"),
    ({"window": 0}, ValueError, "window=0"),
    ({"softcap": -1.0}, ValueError, "softcap"),
    ({"key_starts": torch.zeros(3)}, ValueError, "key_starts"),
    ({"impl": "cuda"}, ValueError, "impl"),
    ({"q": torch.zeros(2, 4, 9, 64, requires_grad=True)}, RuntimeError, "inference only"),
    (
        {"impl": "triton", "q": torch.zeros(2, 4, 9, 264), "k": torch.zeros(2, 2, 9, 264)},
        NotImplementedError,
        "256; use 'portable'",
    ),
    (
        {"impl": "triton", "q": torch.zeros(2, 4, 9, 64, dtype=torch.float64)},
        NotImplementedError,
        "float64",
    ),
]


@pytest.mark.parametrize(("change", "error", "words"), BAD, ids=[case[2] for case in BAD])
def test_arguments_that_do_not_fit_are_refused_in_one_line(change, error, words):
    arguments = dict(zip("qkv", inputs(9, 9), strict=True)) | change
    q, k, v = (arguments.pop(name) for name in "qkv")
    with pytest.raises(error, match=words) as caught:
        attention(q, k, v, **arguments)
    assert "\n" not in str(caught.value)


def test_grad_is_allowed_where_it_is_off():
    q, k, v = inputs(9, 9)
    with torch.no_grad():
        attention(q.requires_grad_(), k, v)


@pytest.mark.parametrize(
    "change",
    [{"rows": (0, 10)}, {"cols": (5, 3)}, {"values": "sum"}, {"lse": torch.zeros(2, 4, 8)}],
)
def test_a_rectangle_that_does_not_fit_is_refused(change):
    q, k, v = inputs(9, 9)
    arguments = {"lse": attention(q, k, v).lse, "rows": (0, 9), "cols": (0, 9)} | change
    with pytest.raises(ValueError, match="attention_window"):
        attention_window(q, k, **arguments)
