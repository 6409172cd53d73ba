"""The Triton attention kernel agrees with the float64 reference, interpreted or on a GPU."""

from dataclasses import replace

import pytest
import torch

from attention_cases import ALL, MASKS, compare, on_device
from attentropy import attention
from attentropy.kernels.attention import triton_launch
from attentropy.kernels.common import gpu, tiles
from attentropy.kernels.common.mask import Mask
from attentropy.kernels.common.score import Score
from close import assert_close, available, bounds, inputs, on_devices
from grids import diagonal


@on_devices
@diagonal({"offset": [0, 300, -300], "sigma": [1, 12, 4]})
def test_triton_matches_the_reference_on_peaky_and_shifted_scores(device, sigma, offset, poisoned):
    q, k, v = (t.to(available(device)) for t in inputs(63, 63, 2, 1, sigma=sigma, offset=offset))
    wanted = attention(q, k, v, stats=ALL, impl="reference")
    compare(attention(q, k, v, stats=ALL, impl="triton"), wanted, q, k, ALL)


@on_devices
@diagonal(
    {
        "causal": [True, False],
        "dim,width": [(32, 32), (40, 40), (64, 64), (80, 80), (96, 96), (128, 128), (192, 128),
                      (256, 256)],
    }
)  # fmt: skip
def test_triton_matches_the_reference_at_every_head_size(device, dim, width, causal, poisoned):
    q, k, v = inputs(70, 70, heads=2, kv_heads=1, dim=dim, width=width, sigma=2)
    q, k, v = (t[1:].to(available(device)) for t in (q, k, v))
    wanted = attention(q, k, v, causal=causal, stats=ALL, impl="reference")
    got = attention(q, k, v, causal=causal, stats=ALL, impl="triton")
    compare(got, wanted, q, k, ALL)


@on_devices
@pytest.mark.parametrize(
    ("queries", "keys", "offset"),
    [(1, 1, None), (111, 111, None), (129, 129, None), (1, 257, None), (63, 111, None),
     (111, 63, None), (63, 111, 0), (63, 63, -70)],
)  # fmt: skip
def test_triton_matches_the_reference_at_odd_lengths(device, queries, keys, offset, poisoned):
    q, k, v = (
        t[1:].to(available(device))
        for t in inputs(queries, keys, heads=3, kv_heads=1, dim=32, width=20)
    )
    wanted = attention(q, k, v, stats=ALL, query_offset=offset, impl="reference")
    got = attention(q, k, v, stats=ALL, query_offset=offset, impl="triton")
    compare(got, wanted, q, k, ALL)


@on_devices
@diagonal(
    {
        "queries,keys": [(57, 57), (5, 57), (57, 33), (1, 1), (99, 99), (1, 300)],
        "mask": MASKS,
    }
)
def test_triton_matches_the_reference_under_every_mask(device, mask, queries, keys, poisoned):
    heads = 4 if queries <= 5 else 2  # few queries: the heads of a key head share a block
    q, k, v = inputs(queries, keys, heads, heads // 2, dim=32, width=24, sigma=3)
    q, k, v = (t.to(available(device)) for t in (q, k, v))
    mask = on_device(device, mask, heads)
    stats = (*ALL, "sink_prob") if "sinks" in mask else ALL
    wanted = attention(q, k, v, stats=stats, impl="reference", **mask)
    got = attention(q, k, v, stats=stats, impl="triton", **mask)
    compare(got, wanted, q, k, stats)
    clear = wanted.max_prob > 0.2
    assert torch.equal(got.top_key[clear], wanted.top_key[clear])


@on_devices
@pytest.mark.parametrize(
    "mask",
    [
        {"segments": torch.arange(140).div(45, rounding_mode="floor").repeat(2, 1)},
        {"segments": torch.arange(140).remainder(3).repeat(2, 1), "causal": False},
        {"window": 70, "softcap": 20.0, "sinks": torch.zeros(2)},
        {"chunk": 70, "key_starts": torch.tensor([3, 50]), "key_lengths": torch.tensor([125, 80])},
        {"window": 10, "causal": False, "slopes": torch.tensor([1.0, 0.1])},
        {"scale": -0.3},
        {"scale": 0.0, "causal": False},
    ],
    ids=lambda mask: "+".join(mask),
)
def test_triton_matches_the_reference_over_several_blocks(device, mask, poisoned):
    q, k, v = (t.to(available(device)) for t in inputs(140, 140, 2, 1, sigma=2))
    mask = {n: m.to(device) if isinstance(m, torch.Tensor) else m for n, m in mask.items()}
    wanted = attention(q, k, v, stats=ALL, impl="reference", **mask)
    got = attention(q, k, v, stats=ALL, impl="triton", **mask)
    compare(got, wanted, q, k, ALL, mask.get("scale"))


@on_devices
@diagonal(
    {"name": ["causal", "full", "window", "sinks", "left padding", "chunk"], "splits": [2, 3, 9]}
)
def test_a_split_over_the_keys_merges_to_the_whole(device, splits, name, poisoned):
    where = available(device)
    q, k, v = (t.to(where) for t in inputs(7, 170, 2, 1, dim=32, sigma=3))
    mask = on_device(where, MASKS[name], 2)
    stats = (*ALL, "sink_prob") if "sinks" in mask else ALL
    wanted = attention(q, k, v, stats=stats, impl="reference", **mask)
    sinks = mask.pop("sinks", None)
    rule = Mask(7, 170, 163, **({"causal": True} | mask))
    results = triton_launch.attention(
        q, k, v, score=Score(32**-0.5), mask=rule, sinks=sinks, stats=stats, splits=splits
    )
    limits = bounds(q, k)
    for stat in (*stats, "lse", "out"):
        if stat != "top_key":
            assert_close(results[stat], getattr(wanted, stat), limits[stat], stat)
    clear = wanted.max_prob > 0.2
    assert torch.equal(results["top_key"][clear], wanted.top_key[clear])


@on_devices
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_triton_takes_short_floats_and_strided_inputs(device, dtype, poisoned):
    q, k, v = (t.to(available(device), dtype) for t in inputs(63, 63))
    q, k, v = (t.transpose(1, 2).contiguous().transpose(1, 2) for t in (q, k, v))
    wanted = attention(q, k, v, stats=ALL, impl="reference")
    got = attention(q, k, v, stats=ALL, impl="triton")
    assert_close(got.entropy, wanted.entropy, bounds(q, k)["entropy"])
    assert_close(got.out, wanted.out, 0.02)


@pytest.fixture
def bulk(monkeypatch):
    """Let the interpreter's block take keys and values by descriptors, as newer GPUs do."""
    monkeypatch.setattr(tiles, "_INTERPRETED", replace(tiles._INTERPRETED, descriptors=True))


@pytest.mark.parametrize("name", [name for name in MASKS if name != "window of one"])
def test_keys_by_tensor_descriptors_give_the_same_numbers(name, bulk, poisoned):
    q, k, v = inputs(40, 75, heads=2, kv_heads=2, dim=40, width=24, sigma=2)
    q, k, v = (t.half().to(available("cpu")) for t in (q, k, v))
    mask = on_device("cpu", MASKS[name], 2)
    k, v = (t.transpose(1, 2).contiguous().transpose(1, 2) for t in (k, v))
    assert gpu.takes_descriptors(k, v)
    wanted = attention(q, k, v, stats=ALL, impl="reference", **mask)
    got = attention(q, k, v, stats=ALL, impl="triton", **mask)
    compare(got, wanted, q, k, ALL, out=5e-3)


def test_what_bulk_copies_cannot_read_is_read_by_pointers():
    k = torch.zeros(2, 3, 40, 32, dtype=torch.float16)
    assert gpu.takes_descriptors(k, k.transpose(1, 2))
    for other in (
        k[..., 1:], k[..., ::2], k[:, :0], k[:, :1].expand(-1, 3, -1, -1),
        torch.zeros(2, 3, 40, 33, dtype=torch.float16), k.transpose(2, 3),
    ):  # fmt: skip
        assert not gpu.takes_descriptors(k, other)
    for architecture in ("sm_90", "sm_100"):
        for dtype, is_taken in ((torch.float16, True), (torch.float32, False)):
            tile = tiles.choose_attention(architecture, 128, dtype, descriptors=True, narrow=False)
            assert tile.descriptors is is_taken


@pytest.mark.gpu
def test_triton_is_what_a_gpu_runs_by_default():
    q, k, v = (t.to(available("cuda")) for t in inputs(300, 300, dim=128))
    by_default, triton = (attention(q, k, v, stats=ALL, impl=i) for i in (None, "triton"))
    assert torch.equal(by_default.entropy, triton.entropy)
