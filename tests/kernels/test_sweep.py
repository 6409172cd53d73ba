"""The second sweep agrees with sums over the materialised weights, in float64."""

import pytest
import torch

from attentropy import (
    attention,
    attention_at,
    attention_map,
    attention_received,
    attention_recent,
    attention_window,
)
from attentropy.kernels.common.mask import Mask
from attentropy.kernels.second_sweep import portable as portable_sweep
from attentropy.kernels.second_sweep.portable import window
from close import assert_close, available, bounds, inputs, on_devices

MASKS = {
    "causal": {},
    "full": {"causal": False},
    "window": {"window": 7},
    "symmetric window": {"window": 7, "causal": False},
    "chunk": {"chunk": 16},
    "softcap": {"softcap": 5.0},
    "slopes": {"slopes": torch.tensor([0.5, 0.25, 0.125, 0.0625])},
    "padding": {"key_starts": torch.tensor([9, 0]), "key_lengths": torch.tensor([30, 41])},
    "chunks in padding": {"key_starts": torch.tensor([9, -3]), "chunk": 10},
    "segments": {"segments": (torch.arange(200) // 13).repeat(2, 1)},
    "mixed segments": {"segments": (torch.arange(200) % 3).repeat(2, 1)},
}
cases = pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
sizes = pytest.mark.parametrize(("queries", "keys"), [(57, 57), (5, 57), (200, 200), (57, 33)])


def _given(mask, queries, keys, sigma=2):
    q, k, v = inputs(queries, keys, dim=32, sigma=sigma)
    mask = dict(mask)
    if "segments" in mask:
        mask["segments"] = mask["segments"][:, :keys]
    lse = attention(q, k, v, impl="reference", **mask).lse
    return q, k, lse, mask, bounds(q, k)["max_prob"]


@cases
@sizes
@pytest.mark.parametrize("tile", [1, 16, (7, 50), 1000])
def test_a_map_is_the_mean_mass_of_its_tiles(mask, queries, keys, tile):
    q, k, lse, mask, bound = _given(mask, queries, keys)
    for values in ("weight", "entropy"):
        for heads in ("all", "mean"):
            given = {"tile": tile, "values": values, "heads": heads} | mask
            wanted = attention_map(q, k, lse, impl="reference", **given)
            got = attention_map(q, k, lse.float(), **given)
            assert_close(got, wanted, bound * 8, values)
    p = attention_window(q, k, lse, (0, queries), (0, keys), impl="reference", **mask)
    rows = (tile, tile) if isinstance(tile, int) else tile
    first = p[:, :, : rows[0], : rows[1]].sum((-1, -2)) / min(rows[0], queries)
    whole = attention_map(q, k, lse, tile=tile, impl="reference", **mask)
    assert_close(whole[:, :, 0, 0], first, 1e-12)


@cases
@sizes
def test_what_a_key_receives_is_its_column_sum(mask, queries, keys):
    q, k, lse, mask, bound = _given(mask, queries, keys)
    for heads in ("all", "mean"):
        wanted = attention_received(q, k, lse, heads=heads, impl="reference", **mask)
        got = attention_received(q, k, lse.float(), heads=heads, **mask)
        assert_close(got, wanted, bound * queries)
    p = attention_window(q, k, lse, (0, queries), (0, keys), impl="reference", **mask)
    assert_close(attention_received(q, k, lse, impl="reference", **mask), p.sum(2), 1e-12)


@cases
@sizes
def test_the_weight_on_a_chosen_key(mask, queries, keys):
    q, k, lse, mask, bound = _given(mask, queries, keys)
    random = torch.Generator().manual_seed(1)
    chosen = torch.randint(-2, keys + 2, (2, queries), generator=random)
    wanted = attention_at(q, k, lse, chosen, impl="reference", **mask)
    assert_close(attention_at(q, k, lse.float(), chosen, **mask), wanted, bound)
    p = attention_window(q, k, lse, (0, queries), (0, keys), impl="reference", **mask)
    for row in range(0, queries, 3):
        for batch in range(2):
            key = int(chosen[batch, row])
            own = p[batch, :, row, key] if 0 <= key < keys else torch.zeros(4)
            assert_close(wanted[batch, :, row], own, 1e-12)


@cases
@sizes
@pytest.mark.parametrize("last", [1, 5, 64])
def test_the_mass_on_the_latest_visible_keys(mask, queries, keys, last):
    q, k, lse, mask, bound = _given(mask, queries, keys)
    wanted = attention_recent(q, k, lse, last, impl="reference", **mask)
    assert_close(attention_recent(q, k, lse.float(), last, **mask), wanted, bound * 3)
    p = attention_window(q, k, lse, (0, queries), (0, keys), impl="reference", **mask)
    for row in range(0, queries, 7):
        for batch in range(2):
            seen = p[batch, 0, row].nonzero()[:, 0][-last:]
            assert_close(wanted[batch, :, row], p[batch][:, row, seen].sum(-1), 1e-12)


def _on(device, mask, queries, keys):
    """As `_given`, with two heads of one key head, on the device."""
    where = available(device)
    mask = {n: m[:2] if n == "slopes" else m for n, m in mask.items()}
    mask = {n: m[:, :keys] if n == "segments" else m for n, m in mask.items()}
    mask = {n: m.to(where) if isinstance(m, torch.Tensor) else m for n, m in mask.items()}
    q, k, v = (t.to(where) for t in inputs(queries, keys, 2, 1, dim=32, sigma=2))
    lse = attention(q, k, v, impl="reference", **mask).lse.float()
    return q, k, lse, mask, bounds(q, k)["max_prob"]


def _both(run, *given, bound, **mask):
    """The triton kernel's answer, compared with the definition."""
    wanted = run(*given, impl="reference", **mask)
    got = run(*given, impl="triton", **mask)
    assert got.dtype == torch.float32
    assert_close(got, wanted, bound, run.__name__)
    return got


@on_devices
@cases
def test_triton_received_matches_the_reference(device, mask, poisoned):
    q, k, lse, mask, bound = _on(device, mask, 70, 75)
    _both(attention_received, q, k, lse, bound=bound * 70, **mask)


@on_devices
@cases
def test_triton_maps_match_the_reference(device, mask, poisoned):
    q, k, lse, mask, bound = _on(device, mask, 70, 41)
    given = {"tile": (7, 50), "values": "entropy", "heads": "mean"} | mask
    _both(attention_map, q, k, lse, bound=bound * 8, **given)


@on_devices
@cases
def test_triton_rectangles_match_the_reference(device, mask, poisoned):
    q, k, lse, mask, bound = _on(device, mask, 33, 57)
    _both(attention_window, q, k, lse, (5, 31), (13, 50), bound=bound, **mask)


@on_devices
@cases
def test_triton_chosen_and_recent_keys_match_the_reference(device, mask, poisoned):
    q, k, lse, mask, bound = _on(device, mask, 40, 57)
    random = torch.Generator().manual_seed(1)
    chosen = torch.randint(-2, 59, (2, 40), generator=random).to(q.device)
    chosen[:, ::2] = torch.arange(17, 57, 2)  # a query's own position
    _both(attention_at, q, k, lse, chosen, bound=bound, **mask)
    _both(attention_recent, q, k, lse, 5, bound=bound * 3, **mask)


@on_devices
@pytest.mark.parametrize(
    ("tile", "queries", "keys"),
    [(1, 3, 3), (16, 150, 150), ((5, 9), 70, 70), ((100, 40), 230, 70), ((64, 3), 128, 10),
     (1000, 70, 150), ((3, 70), 7, 150), (2, 150, 5), ((16, 1), 150, 170)],
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
    q, k, v = (t.to(available(device), dtype) for t in inputs(40, 40, dim=40))
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
    found = (
        attention_received(q, k, lse, impl=impl),
        attention_recent(q, k, lse, 3, impl=impl),
        attention_map(q, k, lse, tile=4, heads="mean", impl=impl),
        attention_at(q, k, lse, torch.zeros(2, queries, dtype=torch.int64), impl=impl),
        attention_window(q, k, lse, (0, queries), (0, keys), impl=impl),
    )
    shapes = [(2, 2, keys), (2, 2, queries), (2, 1, queries // 4 + (queries > 0), -(-keys // 4)),
              (2, 2, queries), (2, 2, queries, keys)]  # fmt: skip
    assert [tuple(one.shape) for one in found] == shapes
    assert all((one == 0).all() for one in found)


@pytest.mark.gpu
def test_triton_is_what_a_gpu_runs_by_default():
    q, k, lse, _, _ = _on("cuda", {}, 300, 300)
    by_default, fused = (attention_map(q, k, lse, tile=7, impl=i) for i in (None, "triton"))
    assert torch.equal(by_default, fused)


def test_the_tiles_of_a_row_sum_to_one_or_to_the_mean_entropy():
    q, k, v = inputs(150, 150, sigma=2)
    result = attention(q, k, v)
    whole = attention_map(q, k, result.lse, tile=(10, 32)).sum(-1)
    assert_close(whole, torch.ones_like(whole), 1e-4)
    shares = attention_map(q, k, result.lse, tile=(10, 32), values="entropy").sum(-1)
    assert_close(shares, result.entropy.view(2, 4, 15, 10).mean(-1), 1e-4)


BAD = [
    (attention_map, {"tile": 0}, ValueError, "tile"),
    (attention_map, {"tile": (3, 4, 5)}, ValueError, "tile"),
    (attention_map, {"tile": 3, "heads": "some"}, ValueError, "heads"),
    (attention_map, {"tile": 3, "values": "sum"}, ValueError, "values"),
    (attention_map, {"tile": 3, "windw": 3}, TypeError, "windw"),
    (attention_received, {"window": 0}, ValueError, "window=0"),
    (
        attention_received,
        {"impl": "triton", "q": torch.zeros(2, 4, 9, 64, dtype=torch.float64)},
        NotImplementedError,
        "float64; use 'portable'",
    ),
    (attention_at, {"keys": torch.zeros(2, 8, dtype=torch.int64)}, ValueError, "keys"),
    (attention_at, {"keys": torch.zeros(2, 9)}, ValueError, "keys"),
    (attention_recent, {"last": 0}, ValueError, "last=0"),
]


@pytest.mark.parametrize(("run", "given", "error", "words"), BAD)
def test_arguments_that_do_not_fit_are_refused_in_one_line(run, given, error, words):
    q, k, v = inputs(9, 9)
    given = {"q": q, "k": k, "lse": attention(q, k, v).lse} | given
    with pytest.raises(error, match=words) as caught:
        run(**given)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("window", [None, 1, 9, 64])
@pytest.mark.parametrize("offset", [0, 23, -5])
def test_a_rectangle_that_hides_none_is_told_without_looking(causal, window, offset):
    mask = Mask(40, 60, offset, causal, window)
    for first in range(0, 40, 3):
        for left in range(0, 60, 4):
            rows, cols = (first, min(40, first + 5)), (left, min(60, left + 6))
            seen = bool(mask.visible(rows, cols, torch.device("cpu")).all())
            assert mask.hides_none(rows, cols) == seen


def test_the_latest_keys_cost_what_they_are_and_not_all_keys(monkeypatch):
    q, k, _ = inputs(2000, 2000, dim=16)
    lse = attention(q, k, k).lse
    computed = 0

    def counted(q, k, lse, rows, cols, **given):
        nonlocal computed
        computed += (rows[1] - rows[0]) * (cols[1] - cols[0])
        return window(q, k, lse, rows, cols, **given)

    monkeypatch.setattr(portable_sweep, "window", counted)
    attention_recent(q, k, lse, 64, impl="portable")
    assert 2000 * 64 < computed <= 2000 * (64 + 128)
