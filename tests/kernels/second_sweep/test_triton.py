"""The Triton second sweep agrees with the float64 reference, interpreted or on a GPU."""

import pytest
import torch

from attentropy import (
    attention,
    attention_at,
    attention_by_distance,
    attention_map,
    attention_received,
    attention_recent,
    attention_window,
)
from close import assert_close, available, bounds, inputs, on_devices
from grids import every_second
from sweep_cases import MASKS


def _on(device, mask, queries, keys):
    """Return `masked_inputs` with two heads of one key head, on the device."""
    where = available(device)
    mask = {n: m[:2] if n == "slopes" else m for n, m in mask.items()}
    mask = {n: m[:, :keys] if n == "segments" else m for n, m in mask.items()}
    mask = {n: m.to(where) if isinstance(m, torch.Tensor) else m for n, m in mask.items()}
    q, k, v = (t.to(where) for t in inputs(queries, keys, 2, 1, dim=32, sigma=2))
    lse = attention(q, k, v, impl="reference", **mask).lse.float()
    return q, k, lse, mask, bounds(q, k)["max_prob"]


def _both(run, *arguments, bound, **mask):
    """Return the result of the Triton kernel, compared with the reference."""
    wanted = run(*arguments, impl="reference", **mask)
    got = run(*arguments, impl="triton", **mask)
    assert got.dtype == torch.float32
    assert_close(got, wanted, bound, run.__name__)
    return got


@on_devices
@every_second("mask", MASKS, 0)
def test_triton_received_matches_the_reference(device, mask, poisoned):
    q, k, lse, mask, bound = _on(device, mask, 70, 75)
    _both(attention_received, q, k, lse, bound=bound * 70, **mask)


@on_devices
@every_second("mask", MASKS, 0)
def test_triton_maps_match_the_reference(device, mask, poisoned):
    q, k, lse, mask, bound = _on(device, mask, 70, 41)
    arguments = {"tile": (7, 50), "values": "entropy", "heads": "mean"} | mask
    _both(attention_map, q, k, lse, bound=bound * 8, **arguments)


@on_devices
@every_second("mask", MASKS, 1)
def test_triton_rectangles_match_the_reference(device, mask, poisoned):
    q, k, lse, mask, bound = _on(device, mask, 33, 57)
    _both(attention_window, q, k, lse, (5, 31), (13, 50), bound=bound, **mask)


@on_devices
@every_second("mask", MASKS, 0)
def test_triton_chosen_and_recent_keys_match_the_reference(device, mask, poisoned):
    q, k, lse, mask, bound = _on(device, mask, 40, 57)
    random = torch.Generator().manual_seed(1)
    own_keys = torch.randint(-2, 59, (2, 40), generator=random).to(q.device)
    own_keys[:, ::2] = torch.arange(17, 57, 2)  # a query's own position
    _both(attention_at, q, k, lse, own_keys, bound=bound, **mask)
    _both(attention_recent, q, k, lse, 5, bound=bound * 3, **mask)


@on_devices
@every_second("mask", MASKS, 0)
def test_triton_sums_by_distance_match_the_reference(device, mask, poisoned):
    q, k, lse, mask, bound = _on(device, mask, 75, 75)
    _both(attention_by_distance, q, k, lse, bound=bound * 75, **mask)


@on_devices
@every_second("mask", MASKS, 1)
def test_triton_sums_by_distance_with_an_offset_match_the_reference(device, mask, poisoned):
    q, k, lse, mask, bound = _on(device, mask, 41, 150)
    _both(attention_by_distance, q, k, lse, bound=bound * 41, first_keys=70, **mask)


@on_devices
def test_triton_keeps_nan_out_of_bins_that_its_row_does_not_see(device, poisoned):
    q, k, lse, mask, _ = _on(device, {"window": 4}, 150, 150)
    lse[0, 0, 20] = torch.nan
    sums = attention_by_distance(q, k, lse, impl="triton", **mask)
    assert sums[0, 0].isnan().tolist() == [False, True, True, True] + [False] * 6
    assert not sums[1].isnan().any()


@on_devices
@pytest.mark.parametrize(
    ("tile", "queries", "keys"),
    [
        (1, 3, 3), (16, 70, 70), ((5, 9), 40, 40), ((100, 40), 230, 70), ((64, 3), 128, 10),
        (1000, 70, 150), ((3, 70), 7, 150), (2, 150, 5), ((16, 1), 70, 75),
        *(pytest.param(*case, marks=pytest.mark.slow) for case in (
            (16, 150, 150), ((5, 9), 70, 70), ((16, 1), 150, 170),
        )),
    ],
)  # fmt: skip
def test_triton_takes_tiles_of_any_size(device, tile, queries, keys, poisoned):
    q, k, lse, _, bound = _on(device, {}, queries, keys)
    _both(attention_map, q, k, lse, tile=tile, bound=bound * 8)


@on_devices
def test_triton_counts_recent_keys_over_several_blocks(device, poisoned):
    segments = (torch.arange(100) % 2).repeat(2, 1)
    q, k, lse, mask, bound = _on(device, {"segments": segments}, 70, 100)
    _both(attention_recent, q, k, lse, 33, bound=bound * 3, **mask)


@on_devices
def test_triton_shares_the_mean_over_heads_among_programs(device, poisoned):
    where = available(device)
    q, k, v = (t.to(where) for t in inputs(20, 20, 6, 3, dim=32, sigma=2))
    lse = attention(q, k, v, impl="reference").lse.float()
    bound = bounds(q, k)["max_prob"]
    one, two = (
        _both(attention_received, q, k, lse, heads="mean", bound=bound * 20) for _ in range(2)
    )
    assert torch.equal(one, two)
    _both(attention_map, q, k, lse, tile=9, bound=bound * 8)


@on_devices
def test_what_lies_in_padding_is_never_read(device, poisoned):
    padding = {"key_starts": torch.tensor([9, 0]), "key_lengths": torch.tensor([20, 31])}
    q, k, lse, mask, bound = _on(device, padding, 40, 40)
    clean = attention_map(q, k, lse, tile=8, values="entropy", impl="reference", **mask)
    clean_recent = attention_recent(q, k, lse, 9, impl="reference", **mask)
    k[0, :, :9] = k[0, :, 29:] = k[1, :, 31:] = torch.nan
    dirty = attention_map(q, k, lse, tile=8, values="entropy", impl="triton", **mask)
    assert lse.isinf().any()
    assert_close(dirty, clean, bound * 8)
    recent = attention_recent(q, k, lse, 9, impl="triton", **mask)
    assert_close(recent, clean_recent, bound * 3)


@on_devices
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_triton_takes_short_floats_and_strided_inputs(device, dtype, poisoned):
    q, k, v = (t.to(available(device), dtype) for t in inputs(40, 40, 2, 2, dim=40))
    q, k = (t.transpose(1, 2).contiguous().transpose(1, 2) for t in (q, k))
    lse = attention(q, k, v, impl="reference").lse.float()
    bound = bounds(q, k)["max_prob"]
    _both(attention_received, q, k, lse, bound=bound * 40)
    _both(attention_at, q, k, lse, torch.zeros(2, 40, dtype=torch.int64), bound=bound)


@on_devices
@pytest.mark.parametrize("scale", [-0.3, 0.0])
def test_triton_takes_a_scale_that_no_exponential_can_hold(device, scale, poisoned):
    q, k, lse, mask, bound = _on(device, {"scale": scale, "causal": False}, 40, 40)
    _both(attention_received, q, k, lse, bound=bound * 40, **mask)


@on_devices
@pytest.mark.parametrize("impl", ["triton", "portable"])
@pytest.mark.parametrize(("queries", "keys"), [(0, 7), (7, 0)])
def test_nothing_to_sum_is_zero(device, impl, queries, keys):
    where = available(device)
    q, k = torch.ones(2, 2, queries, 32, device=where), torch.ones(2, 1, keys, 32, device=where)
    lse = torch.full((2, 2, queries), -torch.inf, device=where)
    results = (
        attention_received(q, k, lse, impl=impl),
        attention_recent(q, k, lse, 3, impl=impl),
        attention_map(q, k, lse, tile=4, heads="mean", impl=impl),
        attention_at(q, k, lse, torch.zeros(2, queries, dtype=torch.int64), impl=impl),
        attention_window(q, k, lse, (0, queries), (0, keys), impl=impl),
        attention_by_distance(q, k, lse, impl=impl)[..., :2],
    )
    shapes = [(2, 2, keys), (2, 2, queries), (2, 1, queries // 4 + (queries > 0), -(-keys // 4)),
              (2, 2, queries), (2, 2, queries, keys), (2, 2, 2)]  # fmt: skip
    assert [tuple(one.shape) for one in results] == shapes
    assert all((one == 0).all() for one in results)


@pytest.mark.gpu
def test_triton_is_what_a_gpu_runs_by_default():
    q, k, lse, _, _ = _on("cuda", {}, 300, 300)
    by_default, fused = (attention_map(q, k, lse, tile=7, impl=i) for i in (None, "triton"))
    assert torch.equal(by_default, fused)
