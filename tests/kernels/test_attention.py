"""Portable and triton agree with the float64 reference, within what float32 scores can hold."""

import subprocess
import sys

import pytest
import torch

from attentropy import attention, attention_window
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


def _compare(got, wanted, q, k, stats, scale=None):
    limits = bounds(q, k, scale)
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
    q, k, v = (t.to(_device(device)) for t in inputs(70, 70, dim=dim, width=width, sigma=2))
    wanted = attention(q, k, v, causal=causal, stats=ALL, impl="reference")
    got = attention(q, k, v, causal=causal, stats=ALL, impl="triton")
    _compare(got, wanted, q, k, ALL)


@on_devices
@pytest.mark.parametrize(
    ("queries", "keys", "offset"),
    [(1, 1, None), (111, 111, None), (257, 257, None), (1, 257, None), (63, 111, None),
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
    ("queries", "keys"), [(57, 57), (5, 57), (57, 33), (1, 1), (150, 150), (1, 300)]
)
def test_triton_matches_the_reference_under_every_mask(device, mask, queries, keys, poisoned):
    q, k, v = (t.to(_device(device)) for t in inputs(queries, keys, dim=32, width=24, sigma=3))
    mask = {n: m.to(device) if isinstance(m, torch.Tensor) else m for n, m in mask.items()}
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
        {"segments": torch.arange(200).div(45, rounding_mode="floor").repeat(2, 1)},
        {"segments": torch.arange(200).remainder(3).repeat(2, 1), "causal": False},
        {"window": 90, "softcap": 20.0, "sinks": torch.zeros(4)},
        {"chunk": 70, "key_starts": torch.tensor([3, 90]), "key_lengths": torch.tensor([180, 90])},
        {"window": 10, "causal": False, "slopes": torch.tensor([1.0, 0.5, 0.2, 0.1])},
        {"scale": -0.3},
        {"scale": 0.0, "causal": False},
    ],
    ids=lambda mask: "+".join(mask),
)
def test_triton_matches_the_reference_over_several_blocks(device, mask, poisoned):
    q, k, v = (t.to(_device(device)) for t in inputs(200, 200, sigma=2))
    mask = {n: m.to(device) if isinstance(m, torch.Tensor) else m for n, m in mask.items()}
    wanted = attention(q, k, v, stats=ALL, impl="reference", **mask)
    got = attention(q, k, v, stats=ALL, impl="triton", **mask)
    _compare(got, wanted, q, k, ALL, mask.get("scale"))


@on_devices
@pytest.mark.parametrize("splits", [2, 3, 9])
@pytest.mark.parametrize("name", ["causal", "full", "window", "sinks", "left padding", "chunk"])
def test_a_split_over_the_keys_merges_to_the_whole(device, splits, name, poisoned):
    from attentropy.kernels import attention as fused
    from attentropy.kernels.visibility import Mask

    where = _device(device)
    q, k, v = (t.to(where) for t in inputs(7, 290, dim=32, sigma=3))
    given = {n: m.to(where) if isinstance(m, torch.Tensor) else m for n, m in MASKS[name].items()}
    stats = (*ALL, "sink_prob") if "sinks" in given else ALL
    wanted = attention(q, k, v, stats=stats, impl="reference", **given)
    sinks = given.pop("sinks", None)
    mask = Mask(7, 290, 283, **({"causal": True} | given))
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
    if _device(device) == "cpu" and dtype == torch.bfloat16:
        pytest.skip("Triton's interpreter multiplies bfloat16 as integers: a GPU has to show it")
    q, k, v = (t.to(_device(device), dtype) for t in inputs(63, 63))
    q, k, v = (t.transpose(1, 2).contiguous().transpose(1, 2) for t in (q, k, v))
    wanted = attention(q, k, v, stats=ALL, impl="reference")
    got = attention(q, k, v, stats=ALL, impl="triton")
    assert_close(got.entropy, wanted.entropy, bounds(q, k)["entropy"])
    assert_close(got.out, wanted.out, 0.02)


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
    given = dict(zip("qkv", inputs(9, 9), strict=True)) | change
    q, k, v = (given.pop(name) for name in "qkv")
    with pytest.raises(error, match=words) as caught:
        attention(q, k, v, **given)
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
    given = {"lse": attention(q, k, v).lse, "rows": (0, 9), "cols": (0, 9)} | change
    with pytest.raises(ValueError, match="attention_window"):
        attention_window(q, k, **given)
