"""Every implementation of attention handles padding, long rows and any shape correctly."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings, strategies

from attention_cases import ALL, compare
from attentropy import attention
from attentropy.kernels.common import tiles
from close import assert_close, available, bounds, inputs, on_devices
from grids import diagonal


@pytest.mark.parametrize("by", ["pointers", "descriptors"])
def test_padding_may_hold_anything(by, monkeypatch, poisoned):
    monkeypatch.setattr(
        tiles, "_INTERPRETED", replace(tiles._INTERPRETED, descriptors=by == "descriptors")
    )
    q, k, v = (t.half().to(available("cpu")) for t in inputs(70, 70, 2, 1, dim=32, sigma=2))
    mask = {"key_starts": torch.tensor([9, 0]), "key_lengths": torch.tensor([41, 65])}
    wanted = attention(q, k, v, stats=ALL, impl="reference", **mask)
    hole = torch.ones(2, 1, 70, 1, dtype=torch.bool)
    hole[0, :, 9:50], hole[1, :, :65] = False, False
    k, v = (t.masked_fill(hole, math.nan) for t in (k, v))
    for impl in ("triton", "portable", "native"):
        got = attention(q, k, v, stats=ALL, impl=impl, **mask)
        compare(got, wanted, q, torch.nan_to_num(k), ALL, out=5e-3)


@on_devices
@pytest.mark.parametrize("impl", ["portable", "native", "triton"])
def test_addresses_past_two_to_the_31_elements_are_right(device, impl):
    where = available(device)
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
@diagonal(
    {
        "sigma,offset": [(1, 0), (12, 0), (1, 300), (12, -300)],
        "dtype,impl": [
            (torch.float32, "portable"), (torch.bfloat16, "triton"), (torch.float32, "triton"),
            (torch.bfloat16, "portable"), (torch.float32, "native"), (torch.bfloat16, "native"),
        ],
    }
)  # fmt: skip
def test_rows_of_131072_keys_hold_the_bound(
    device, impl, dtype, sigma, offset, monkeypatch, poisoned
):
    monkeypatch.setattr(tiles, "_INTERPRETED", tiles.Tile(16, 4096, warps=1, stages=1))
    n, dim = 131_072, 16
    q, k, v = (t[:1].to(available(device)) for t in inputs(8, n, 2, 1, dim, sigma=sigma))
    if offset:  # common to all scores
        q[..., 0], k[..., 0] = 4.0, offset * dim**0.5 / 4.0
    q, k, v = (t.to(dtype) for t in (q, k, v))
    for first in (n - 8, n // 3):
        wanted = attention(q, k, v, stats=ALL, query_offset=first, impl="reference")
        got = attention(q, k, v, stats=ALL, query_offset=first, impl=impl)
        compare(got, wanted, q, k, ALL, out=None if dtype == torch.float32 else 0.05)


@given(data=strategies.data())
@settings(max_examples=4, deadline=None, derandomize=True)
def test_any_shape_and_mask_agrees_with_the_reference(data):
    _check_any_shape(data)


@pytest.mark.slow
@given(data=strategies.data())
@settings(max_examples=40, deadline=None)
def test_many_shapes_and_masks_agree_with_the_reference(data):
    _check_any_shape(data)


def _check_any_shape(data):
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
    key = torch.arange(keys)
    if draw(strategies.booleans()):
        size, are_mixed = draw(integer(1, 50)), draw(strategies.booleans())
        mask["segments"] = (key % size if are_mixed else key // size).repeat(2, 1)
    heads = torch.arange(kv_heads * group)
    mask["slopes"] = 0.5**heads if draw(strategies.booleans()) else None
    mask["sinks"] = heads - 1.0 if draw(strategies.booleans()) else None
    has_images = mask["causal"] and draw(strategies.integers(0, 3)) == 0
    if has_images:
        mask["last_keys"] = (key // 9 * 9 + 8).clamp(max=keys - 1).repeat(2, 1)
    stats = ALL if mask["sinks"] is None else (*ALL, "sink_prob")
    wanted = attention(q, k, v, stats=stats, impl="reference", **mask)
    for impl in ("portable", "native", *["triton"] * (not has_images)):
        compare(attention(q, k, v, stats=stats, impl=impl, **mask), wanted, q, k, stats)


@pytest.mark.parametrize("impl", ["reference", "portable", "native", "triton"])
def test_the_first_causal_row_is_certain_to_the_last_bit(impl):
    q, k, v = inputs(9, 9, sigma=7)
    if impl == "triton":
        available("cpu")
    entropy = attention(q, k, v, impl=impl).entropy
    assert (entropy[:, :, 0] == 0).all()
    assert (entropy >= 0).all()
