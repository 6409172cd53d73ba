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
from close import assert_close, bounds, inputs

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
    (attention_received, {"impl": "triton"}, NotImplementedError, "portable"),
    (attention_at, {"keys": torch.zeros(2, 8, dtype=torch.int64)}, ValueError, "keys"),
    (attention_at, {"keys": torch.zeros(2, 9)}, ValueError, "keys"),
    (attention_recent, {"last": 0}, ValueError, "last=0"),
]


@pytest.mark.parametrize(("run", "given", "error", "words"), BAD)
def test_arguments_that_do_not_fit_are_refused_in_one_line(run, given, error, words):
    q, k, v = inputs(9, 9)
    with pytest.raises(error, match=words) as caught:
        run(q, k, attention(q, k, v).lse, **given)
    assert "\n" not in str(caught.value)
