"""The second sweep in PyTorch and in C agrees with sums over the weights in memory, in float64."""

import oracle
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
from attentropy.kernels.second_sweep import portable
from attentropy.kernels.second_sweep.portable import window
from close import assert_close, inputs
from grids import pairwise
from sweep_cases import LAST_KEYS, MASKS, masked_inputs

GRID = {
    "impl": ["portable", "native"],
    "queries,keys": [(57, 57), (5, 57), (200, 200), (57, 33)],
    "mask": MASKS | LAST_KEYS,
}


@pairwise({"tile": [1, 16, (7, 50), 1000], **GRID})
def test_a_map_is_the_mean_mass_of_its_tiles(impl, mask, queries, keys, tile):
    q, k, lse, mask, bound = masked_inputs(mask, queries, keys)
    for values in ("weight", "entropy"):
        for heads in ("all", "mean"):
            arguments = {"tile": tile, "values": values, "heads": heads} | mask
            wanted = attention_map(q, k, lse, impl="reference", **arguments)
            got = attention_map(q, k, lse.float(), impl=impl, **arguments)
            assert_close(got, wanted, bound * 8, f"{values} of pairs")
    p = attention_window(q, k, lse, (0, queries), (0, keys), impl="reference", **mask)
    rows = (tile, tile) if isinstance(tile, int) else tile
    first = p[:, :, : rows[0], : rows[1]].sum((-1, -2)) / min(rows[0], queries)
    sums = attention_map(q, k, lse, tile=tile, impl="reference", **mask)
    assert_close(sums[:, :, 0, 0], first, 1e-12)


@pairwise(GRID)
def test_what_a_key_receives_is_its_column_sum(impl, mask, queries, keys):
    q, k, lse, mask, bound = masked_inputs(mask, queries, keys)
    for heads in ("all", "mean"):
        wanted = attention_received(q, k, lse, heads=heads, impl="reference", **mask)
        got = attention_received(q, k, lse.float(), heads=heads, impl=impl, **mask)
        assert_close(got, wanted, bound * queries)
    p = attention_window(q, k, lse, (0, queries), (0, keys), impl="reference", **mask)
    assert_close(attention_received(q, k, lse, impl="reference", **mask), p.sum(2), 1e-12)


@pairwise(GRID)
def test_the_weight_on_one_key_of_each_query(impl, mask, queries, keys):
    q, k, lse, mask, bound = masked_inputs(mask, queries, keys)
    random = torch.Generator().manual_seed(1)
    own_keys = torch.randint(-2, keys + 2, (2, queries), generator=random)
    wanted = attention_at(q, k, lse, own_keys, impl="reference", **mask)
    assert_close(attention_at(q, k, lse.float(), own_keys, impl=impl, **mask), wanted, bound)
    p = attention_window(q, k, lse, (0, queries), (0, keys), impl="reference", **mask)
    for row in range(0, queries, 3):
        for batch in range(2):
            key = int(own_keys[batch, row])
            own = p[batch, :, row, key] if 0 <= key < keys else torch.zeros(4)
            assert_close(wanted[batch, :, row], own, 1e-12)


@pairwise({"last": [1, 5, 64], **GRID})
def test_the_mass_on_the_latest_visible_keys(impl, mask, queries, keys, last):
    q, k, lse, mask, bound = masked_inputs(mask, queries, keys)
    wanted = attention_recent(q, k, lse, last, impl="reference", **mask)
    assert_close(attention_recent(q, k, lse.float(), last, impl=impl, **mask), wanted, bound * 3)
    p = attention_window(q, k, lse, (0, queries), (0, keys), impl="reference", **mask)
    for row in range(0, queries, 7):
        for batch in range(2):
            recent = p[batch, 0, row].nonzero()[:, 0][-last:]
            assert_close(wanted[batch, :, row], p[batch][:, row, recent].sum(-1), 1e-12)


@pairwise({"first_keys": [0, 4, 300], **GRID})
def test_the_mass_by_distance_is_the_sum_of_its_weights(impl, mask, queries, keys, first_keys):
    q, k, lse, mask, bound = masked_inputs(mask, queries, keys)
    arguments = {"first_keys": first_keys} | mask
    wanted = attention_by_distance(q, k, lse, impl="reference", **arguments)
    got = attention_by_distance(q, k, lse.float(), impl=impl, **arguments)
    assert_close(got, wanted, bound * queries)
    if queries < 57:  # by definition, weight by weight
        p = attention_window(q, k, lse, (0, queries), (0, keys), impl="reference", **mask)
        assert_close(wanted, oracle.by_distance(p, mask, first_keys), 1e-10)
    has_key = (lse > -torch.inf).sum(-1).double()
    assert_close(wanted.sum(-1), has_key, 1e-9)


@pytest.mark.parametrize("impl", ["portable", "native"])
def test_the_bins_of_several_blocks_add_up(impl, monkeypatch):
    monkeypatch.setattr(portable, "_BLOCK", 2**13)
    for causal in (True, False):
        q, k, v = inputs(519, 519, heads=2, dim=16)
        lse = attention(q, k, v, impl="reference", causal=causal).lse
        wanted = attention_by_distance(q, k, lse, impl="reference", causal=causal)
        got = attention_by_distance(q, k, lse, impl=impl, causal=causal)
        assert got.shape == (2, 2, 1 + 11)
        assert_close(got, wanted, 1e-3)


def test_a_row_of_nan_is_in_no_bin_of_keys_that_it_does_not_see():
    q, k, _ = inputs(40, 40, heads=2, dim=16)
    lse = attention(q, k, k, impl="reference", window=4).lse
    lse[0, 0, 20] = torch.nan
    for impl in ("reference", "portable"):
        sums = attention_by_distance(q, k, lse, window=4, impl=impl)
        assert sums[0, 0].isnan().tolist() == [False, True, True, True] + [False] * 4
        assert not sums[1].isnan().any()


def test_the_tiles_of_a_row_sum_to_one_or_to_the_mean_entropy():
    q, k, v = inputs(150, 150, sigma=2)
    result = attention(q, k, v)
    sums = attention_map(q, k, result.lse, tile=(10, 32)).sum(-1)
    assert_close(sums, torch.ones_like(sums), 1e-4)
    shares = attention_map(q, k, result.lse, tile=(10, 32), values="entropy").sum(-1)
    assert_close(shares, result.entropy.view(2, 4, 15, 10).mean(-1), 1e-4)


def test_the_latest_keys_cost_what_they_are_and_not_all_keys(monkeypatch):
    q, k, _ = inputs(2000, 2000, dim=16)
    lse = attention(q, k, k).lse
    computed = 0

    def counted(q, k, lse, rows, cols, **arguments):
        nonlocal computed
        computed += (rows[1] - rows[0]) * (cols[1] - cols[0])
        return window(q, k, lse, rows, cols, **arguments)

    monkeypatch.setattr(portable, "window", counted)
    attention_recent(q, k, lse, 64, impl="portable")
    assert 2000 * 64 < computed <= 2000 * (64 + 128)
