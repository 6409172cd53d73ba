"""Each head's picture against the model's own eager weights, in float64."""

import numpy as np
import pytest
import torch

from attentropy.engine.attention.sequence_call import SequenceCall
from attentropy.engine.attention.visibility import Visibility
from attentropy.engine.maps.sweeps import Sweeps
from attentropy.engine.maps.thumbnails import (
    ThumbnailSums,
    add_rows,
    keeps_thumbnails,
    sweep_height,
    thumbnail_side,
)
from attentropy.engine.trace.thumbnails import decode_mass, encode_mass, mass_error
from attentropy.kernels.common.mask import Mask
from attentropy.kernels.ops import attention
from swept import LENGTH, eager_weights, family_model, random_ids, sweeps_of, swept
from tiny import model

FOUR = [0, 1, 2, 3]


def _tiles(p, side):
    """Return the mean mass that the queries of a tile give its keys, from weights [.., N, N]."""
    starts = np.arange(0, p.shape[-1], side)
    counts = np.diff([*starts, p.shape[-2]])
    sums = np.add.reduceat(np.add.reduceat(p, starts, -2), starts, -1)
    return sums / counts[:, None]


def _sweeps(subject, tokens=LENGTH, head_list=FOUR, **plan):
    bare = sweeps_of(subject, tokens, **plan)
    tall = None if bare.tile is None else bare.tile[0]
    pictures = ThumbnailSums(tokens, thumbnail_side(tokens, tall), bare.heads, head_list)
    return sweeps_of(subject, tokens, thumbnails=pictures, **plan)


def _assert_shows(values, wanted):
    """Fail where a picture's bytes are not those of the masses, whatever float32 rounds."""
    assert values.dtype == np.uint8
    assert (np.abs(decode_mass(values) - wanted) <= mass_error(wanted) + 1e-5).all()


@pytest.mark.parametrize("tile", [None, (16, 16), (7, 50), (48, 48), (301, 1), (512, 512)])
@pytest.mark.parametrize("per_head", [False, True])
def test_a_thumbnail_is_each_heads_mean_mass_in_its_tiles(family, tile, per_head):
    subject, p = family
    sweeps = _sweeps(subject, tile=tile, map_per_head=per_head)
    data = swept(subject, random_ids(), sweeps)
    side = sweeps.thumbnails.side
    assert data["thumbnail"].dims == ("layer", "head", "tile_q", "tile_k")
    assert list(data["tile_q"]) == list(data["tile_k"]) == list(range(0, LENGTH, side))
    assert 16 < data.sizes["tile_q"] <= 32 or tile == (48, 48)
    _assert_shows(data["thumbnail"].values, _tiles(p, side))


@pytest.mark.parametrize("tile", [None, (16, 16), (7, 50), (48, 48), (512, 512)])
def test_map_and_received_are_the_same_with_thumbnails_as_without(family, tile):
    subject, _ = family
    alone = swept(subject, random_ids(), sweeps_of(subject, tile=tile))
    both = swept(subject, random_ids(), _sweeps(subject, tile=tile))
    for name in alone.data_vars:
        np.testing.assert_allclose(both[name], alone[name], atol=1e-4, err_msg=str(name))


@pytest.mark.parametrize("tokens", [1, 2, 31, 32, 33, 65])
def test_a_short_prompts_thumbnail_has_the_exact_weights(tokens):
    subject = family_model("alternating")
    ids = random_ids(tokens)
    sweeps = _sweeps(subject, tokens)
    data = swept(subject, ids, sweeps)
    side = -(-tokens // 32)
    assert sweeps.thumbnails.side == side
    p = eager_weights(subject, ids)
    _assert_shows(data["thumbnail"].values, p if side == 1 else _tiles(p, side))


@pytest.mark.parametrize(("tile", "chunk"), [(None, 13), (None, 48), ((16, 16), 16), ((9, 32), 99)])
def test_chunks_through_the_cache_give_what_one_pass_gives(family, tile, chunk):
    subject, p = family
    sweeps = _sweeps(subject, tile=tile)
    data = swept(subject, random_ids(), sweeps, chunk)
    _assert_shows(data["thumbnail"].values, _tiles(p, sweeps.thumbnails.side))
    np.testing.assert_allclose(data["received"][:, 0], p.mean(1).sum(1), atol=1e-4)


def test_heads_that_are_not_recorded_are_left_out_and_a_mean_is_one_picture(family):
    subject, p = family
    sweeps = _sweeps(subject, head_list=[3, 1])
    side = sweeps.thumbnails.side
    two = swept(subject, random_ids(), sweeps)["thumbnail"].values
    _assert_shows(two, _tiles(p[:, [3, 1]], side))
    mean = swept(subject, random_ids(), _sweeps(subject, head_list=None))["thumbnail"].values
    _assert_shows(mean, _tiles(p.mean(1, keepdims=True), side))


def test_bands_are_one_picture(monkeypatch):
    subject = family_model("sliding")
    whole = swept(subject, random_ids(), _sweeps(subject, tile=(7, 16)))
    monkeypatch.setattr("attentropy.engine.maps.column_bands.ALIVE_BYTES", 3 * 4 * 4 * LENGTH)
    bands = swept(subject, random_ids(), _sweeps(subject, tile=(7, 16)))
    np.testing.assert_array_equal(bands["thumbnail"], whole["thumbnail"])
    np.testing.assert_allclose(bands["map"], whole["map"], atol=1e-6)


def test_a_state_saved_and_restored_goes_on_where_it_was(family):
    subject, _ = family
    wanted = swept(subject, random_ids(), _sweeps(subject), 48)["thumbnail"].values
    saved = _sweeps(subject)
    swept(subject, random_ids()[:, :96], saved, 48)
    fresh = _sweeps(subject)
    fresh.restore({name: values.copy() for name, values in saved.state().items()})
    np.testing.assert_array_equal(fresh.thumbnails.values(), saved.thumbnails.values())
    assert (saved.thumbnails.values() != wanted).any()


@pytest.mark.parametrize("is_causal", [True, False])
@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize("window", [None, 11])
def test_every_mask_and_padding_gives_the_weights_by_definition(
    is_causal, padding, window, monkeypatch
):
    """Buffers that nothing wrote hold NaN: what is read of them shows."""
    empty = torch.empty
    monkeypatch.setattr(torch, "empty", lambda *a, **k: _poison(empty(*a, **k)))
    monkeypatch.setattr(torch.Tensor, "new_empty", lambda t, *a, **k: _poison(empty(*a, **k)))
    n, random = 77, torch.Generator().manual_seed(1)
    q, k, v = (torch.randn(1, heads, n, 16, generator=random) for heads in (4, 2, 2))
    i, j = torch.arange(n)[:, None], torch.arange(n)
    sees = torch.ones(n, n, dtype=torch.bool)
    if is_causal:
        sees &= j <= i
    if window is not None:
        sees &= (i - j < window) & (j - i < window if not is_causal else True)
    s = q[0].double() @ k[0].double().repeat_interleave(2, 0).mT / 4
    wanted = torch.softmax(s.masked_fill(~sees, -torch.inf), -1).numpy()
    before = torch.randn(1, 4, padding, 16, generator=random)
    q, k, v = (torch.cat([before[:, : t.shape[1]], t], 2) for t in (q, k, v))
    starts = torch.tensor([padding]) if padding else None
    where = {"causal": is_causal, "window": window, "key_starts": starts}
    lse = attention(q, k, v, **where).lse
    mask = Mask(n + padding, n + padding, 0, **where)
    pictures = ThumbnailSums(n, thumbnail_side(n, None), [4], FOUR)
    sweeps = Sweeps(n, [4], thumbnails=pictures)
    sweeps.on_attention(0, SequenceCall(q, k, lse, Visibility(mask), {}))
    _assert_shows(pictures.values()[0], _tiles(wanted, pictures.side))


def _poison(tensor):
    return tensor.fill_(torch.nan) if tensor.is_floating_point() else tensor


def test_layers_without_attention_have_pictures_of_zeros():
    subject = model(
        "lfm2", layer_types=["conv", "full_attention", "conv"], full_attn_idxs=[1], block_dim=48
    )
    values = swept(subject, random_ids(40), _sweeps(subject, 40))["thumbnail"].values
    assert not values[[0, 2]].any()
    assert values[1].any((-1, -2)).all()


def test_the_side_makes_at_most_32_tiles_and_goes_with_the_map():
    for tokens in (1, 32, 33, 500, 1000, 4096, 31_999):
        for tall in (None, 1, 8, 10, 48, 97, 64, 512, 40_000):
            side = thumbnail_side(tokens, tall)
            assert -(-tokens // side) <= 32
            if tall is None or tall >= tokens:
                assert side == max(1, -(-tokens // 32))
            else:
                assert side % tall == 0 or tall % side == 0
            height = sweep_height(tall, side, tokens)
            assert height >= min(tokens, side, tall or side)


def test_by_default_thumbnails_end_at_32k_tokens_and_1024_heads():
    def keeps(value=None, tokens=100, heads=12, **how):
        return keeps_thumbnails(value, tokens, heads, **({"is_swept": True} | how))

    assert keeps()
    assert keeps(tokens=32_768, heads=1024)
    assert not keeps(tokens=32_769)
    assert not keeps(heads=1025)
    assert not keeps(is_swept=False)
    assert not keeps(False)
    assert keeps(True, tokens=10**6, heads=10**4, is_swept=False)
    assert not keeps(True, heads=0)


def test_a_mass_is_read_back_within_its_error():
    mass = np.linspace(0, 1, 10_001)
    bytes_of = encode_mass(mass)
    assert (np.diff(bytes_of.astype(int)) >= 0).all()
    assert (np.abs(decode_mass(bytes_of) - mass) <= mass_error(mass) + 1e-7).all()
    assert mass_error(mass).max() < 0.004
    assert list(encode_mass(np.array([np.nan, -1e-6, 1 + 1e-6, 0.25]))) == [0, 0, 255, 128]
    assert encode_mass(np.full(32, 1 / 32)).all()  # a head that attends everywhere is no zero


def test_rows_are_added_where_they_belong():
    total = np.zeros((1, 4, 3), np.float32)
    add_rows(total, np.array([1, 1, 3]), np.ones((1, 3, 2), np.float32))
    assert total[0].tolist() == [[0, 0, 0], [2, 2, 0], [0, 0, 0], [1, 1, 0]]
