"""Map, column sums and windows against the model's own eager weights, in float64."""

import numpy as np
import pytest
import torch
from transformers import DynamicCache

from attentropy.engine.attention.hook import Listener
from attentropy.engine.attention.selfcheck import check_model, listening
from attentropy.engine.attention.sequence_call import SequenceCall
from attentropy.engine.attention.visibility import Visibility
from attentropy.engine.errors import AttentropyError
from attentropy.engine.maps.sweeps import Sweeps
from attentropy.engine.maps.windows import Rectangle
from attentropy.engine.model.cache import continuing
from attentropy.kernels.common.mask import Mask
from attentropy.kernels.ops import attention
from swept import LENGTH, dataset, family_model, random_ids, streamed, sweeps_of, swept
from tiny import model

WINDOWS = (
    Rectangle("window", (237, 301), (237, 301), per_head=True, shares=True),
    Rectangle("window1", (90, 131), (3, 120), per_head=True),
    Rectangle("window2", (0, 301), (40, 41), per_head=False),
)


class _CallListener(Listener):
    """A listener that keeps every call as `Sweeps.on_attention` takes it."""

    stats, impl = ("entropy",), None

    def __init__(self):
        self.calls = []

    def on_attention(self, module, tensors, visibility, score, result):
        call = SequenceCall(*tensors[:2], result.lse, visibility, score, result.entropy)
        self.calls.append(call)


def _attention_calls(subject, ids, **options):
    listener = _CallListener()
    with (
        torch.no_grad(),
        listening(subject, listener, masks_built=check_model(subject).masks_built),
    ):
        subject(ids, **{"use_cache": False} | options)
    return listener.calls


def _tiles(p, tile):
    """Return the mean weight that the queries of a tile put into it, from weights [.., N, N]."""
    rows = np.arange(0, p.shape[-2], tile[0])
    keys = np.arange(0, p.shape[-1], tile[1])
    counts = np.diff([*rows, p.shape[-2]])
    sums = np.add.reduceat(np.add.reduceat(p, rows, -2), keys, -1)
    return sums / counts[:, None]


@pytest.mark.parametrize("tile", [(16, 16), (7, 50), (301, 1), (512, 512)])
@pytest.mark.parametrize("per_head", [False, True])
def test_a_map_is_the_mean_mass_of_its_tiles(family, tile, per_head):
    subject, p = family
    data = swept(subject, random_ids(), sweeps_of(subject, tile=tile, map_per_head=per_head))
    wanted = _tiles(p if per_head else p.mean(1, keepdims=True), tile)
    np.testing.assert_allclose(data["map"], wanted, atol=1e-5)
    np.testing.assert_allclose(data["map"].sum("map_key"), 1, atol=1e-5)
    assert list(data["map_head"]) == (list(range(4)) if per_head else [-1])
    assert list(data["map_query"]) == list(range(0, LENGTH, tile[0]))
    assert list(data["map_key"]) == list(range(0, LENGTH, tile[1]))


@pytest.mark.parametrize("tile", [None, (16, 16)])
def test_what_keys_receive_is_the_column_sum_of_the_mean_over_heads(family, tile):
    subject, p = family
    data = swept(subject, random_ids(), sweeps_of(subject, tile=tile))
    np.testing.assert_allclose(data["received"][:, 0], p.mean(1).sum(1), atol=1e-4)
    np.testing.assert_allclose(data["received"].sum("position"), LENGTH, rtol=1e-5)
    assert list(data["received_head"]) == [-1]


def test_windows_are_the_models_own_weights(family):
    subject, p = family
    data = swept(subject, random_ids(), sweeps_of(subject, rectangles=WINDOWS))
    np.testing.assert_allclose(data["window"], p[:, :, 237:, 237:], atol=1e-5)
    np.testing.assert_allclose(data["window1"], p[:, :, 90:131, 3:120], atol=1e-5)
    mean = p.mean(1, keepdims=True)
    np.testing.assert_allclose(data["window2"], mean[..., 40:41], atol=1e-5)
    assert list(data["window_query1"]) == list(range(90, 131))
    assert list(data["window_key1"]) == list(range(3, 120))
    assert list(data["window_head1"]) == [0, 1, 2, 3]
    assert list(data["window_head2"]) == [-1]
    assert "window_entropy" not in data


def test_a_window_of_the_mean_has_the_shares_of_the_entropy_beside_it(family):
    subject, p = family
    square = Rectangle("window", (237, 301), (237, 301), per_head=False, shares=True)
    data = swept(subject, random_ids(), sweeps_of(subject, rectangles=[square]))
    share = -p * np.log(np.where(p > 0, p, 1))
    np.testing.assert_allclose(data["window"][:, 0], p.mean(1)[:, 237:, 237:], atol=1e-5)
    np.testing.assert_allclose(
        data["window_entropy"][:, 0], share.mean(1)[:, 237:, 237:], atol=1e-4
    )


@pytest.mark.parametrize(("tile", "chunk"), [((16, 16), 16), ((16, 7), 48), ((9, 32), 99)])
def test_chunks_through_the_cache_give_what_one_pass_gives(family, tile, chunk):
    subject, _ = family
    plan = {"tile": tile, "rectangles": WINDOWS}
    whole = swept(subject, random_ids(), sweeps_of(subject, **plan))
    parts = swept(subject, random_ids(), sweeps_of(subject, **plan), chunk)
    for name in {"map", "received", "window", "window1", "window2"} | {
        str(n) for n in whole if str(n).startswith(("head_", "uniform_"))
    }:
        np.testing.assert_allclose(parts[name], whole[name], atol=2e-4, err_msg=name)
    np.testing.assert_allclose(parts["map"].sum("map_key"), 1, atol=1e-5)
    assert np.isfinite(parts["map"]).all()


def test_bands_of_column_sums_are_one_map(monkeypatch):
    subject = family_model("sliding")
    plan = {"tile": (16, 16), "map_per_head": True}
    whole = swept(subject, random_ids(), sweeps_of(subject, **plan))
    monkeypatch.setattr("attentropy.engine.maps.column_bands.ALIVE_BYTES", 3 * 4 * 4 * LENGTH)
    bands = swept(subject, random_ids(), sweeps_of(subject, **plan))
    np.testing.assert_allclose(bands["map"], whole["map"], atol=1e-6)
    np.testing.assert_allclose(bands["received"], whole["received"], atol=1e-4)


def test_a_mean_window_read_in_parts_is_the_window(monkeypatch):
    subject = family_model("sliding")
    square = Rectangle("window", (200, 301), (190, 301), per_head=False, shares=True)
    whole = swept(subject, random_ids(), sweeps_of(subject, rectangles=[square]))
    monkeypatch.setattr("attentropy.engine.attention.weights.ALIVE_BYTES", 7 * 4 * 4 * 111)
    parts = swept(subject, random_ids(), sweeps_of(subject, rectangles=[square]))
    for name in ("window", "window_entropy"):
        np.testing.assert_allclose(parts[name], whole[name], atol=1e-6)


class _Restored(Sweeps):
    """Sweeps that are saved after each call and restored into a new object."""

    def on_attention(self, entry, call):
        fresh = Sweeps(self.tokens, self.heads, tile=self.tile, rectangles=self.rectangles)
        fresh.restore({name: values.copy() for name, values in self.state().items()})
        done = fresh.on_attention(entry, call)
        self.restore(fresh.state())
        return done


def test_a_state_saved_and_restored_goes_on_where_it_was():
    subject = family_model("sliding")
    heads = sweeps_of(subject).heads
    plan = {"tile": (16, 16), "rectangles": WINDOWS}
    wanted = swept(subject, random_ids(), Sweeps(LENGTH, heads, **plan), 48)
    got = swept(subject, random_ids(), _Restored(LENGTH, heads, **plan), 48)
    for name in wanted.data_vars:
        np.testing.assert_array_equal(got[name], wanted[name], err_msg=str(name))


@pytest.mark.parametrize("family_name", ["grouped", "alternating"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_leaves_everything_as_it_was(family_name, side):
    subject = family_model(family_name)
    ids, pad = random_ids(101), torch.zeros(1, 5, dtype=torch.int64)
    rectangles = [Rectangle("window", (40, 101), (30, 101), per_head=True)]
    plan = {"tile": (16, 7), "rectangles": rectangles}
    wanted = swept(subject, ids, sweeps_of(subject, 101, **plan))
    padded = torch.cat([pad, ids] if side == "left" else [ids, pad], 1)
    mask = torch.ones_like(padded)
    mask[:, slice(0, 5) if side == "left" else slice(-5, None)] = 0
    positions = (mask.cumsum(-1) - 1).clamp_min(0)
    calls = _attention_calls(subject, padded, attention_mask=mask, position_ids=positions)
    sweeps = sweeps_of(subject, 101, **plan)
    results = [sweeps.on_attention(entry, call) for entry, call in enumerate(calls)]
    rows = {name: np.stack([done[name][1] for done in results]) for name in results[0]}
    got = dataset(sweeps, rows)
    for name in ("map", "received", "window", "head_sink", "head_previous", "head_entropy"):
        np.testing.assert_allclose(got[name], wanted[name], atol=1e-4, err_msg=name)


def test_chunked_attention_counts_its_chunks_from_the_first_token():
    """This also holds where a cache has dropped tokens, and where the prompt is padded."""
    random = torch.Generator().manual_seed(0)
    q, k, v = torch.randn(3, 1, 2, 50, 16, generator=random)
    lse = attention(q, k, v, chunk=12).lse
    rectangle = Rectangle("window1", (0, 50), (0, 50), per_head=True)
    p = torch.softmax((q[0].double() @ k[0].double().mT / 4).masked_fill(_hidden(12), -1e9), -1)
    wanted = _tiles(p.mean(0).numpy(), (5, 7))

    def run(*passes):
        sweeps = Sweeps(50, [2], tile=(5, 7), rectangles=[rectangle])
        results = [sweeps.on_attention(0, SequenceCall(*call)) for call in passes]
        return np.concatenate([rows["map"][1][0] for rows in results]), results[-1], sweeps

    whole = Visibility(Mask(50, 50, 0, chunk=12))
    tiles, _, _ = run((q, k, lse, whole, {}))
    np.testing.assert_allclose(tiles, wanted, atol=1e-5)
    early = Visibility(Mask(25, 25, 0, chunk=12))
    late = Visibility(Mask(25, 39, 14, chunk=12, key_starts=torch.tensor([-11])), first_key=11)
    tiles, last, sweeps = run(
        (q[:, :, :25], k[:, :, :25], lse[:, :, :25], early, {}),
        (q[:, :, 25:], k[:, :, 11:], lse[:, :, 25:], late, {}),
    )
    np.testing.assert_allclose(tiles, wanted, atol=1e-5)
    np.testing.assert_allclose(last["window1"][1], p[:, 25:], atol=1e-5)
    received = sweeps.finished()["received"][1]
    np.testing.assert_allclose(received[0, 0], p.mean(0).sum(0), atol=1e-5)
    before = torch.randn(1, 2, 3, 16, generator=random)
    padded = Visibility(Mask(53, 53, 0, chunk=12, key_starts=torch.tensor([3])))
    more = torch.cat([torch.full((1, 2, 3), -torch.inf), lse], 2)
    call = (torch.cat([before, q], 2), torch.cat([before, k], 2), more, padded, {})
    np.testing.assert_allclose(run(call)[0], wanted, atol=1e-5)


def _hidden(chunk):
    i = torch.arange(50)
    return (i[None, :] > i[:, None]) | (i[None, :] // chunk != i[:, None] // chunk)


def test_a_pass_that_begins_within_a_tile_is_refused():
    subject = model()
    with pytest.raises(AttentropyError, match="multiple of 16 tokens") as caught:
        swept(subject, random_ids(60), sweeps_of(subject, 60, tile=(16, 16)), 20)
    assert "\n" not in str(caught.value)


def test_what_is_generated_after_the_prompt_is_left_out():
    subject = model()
    ids = random_ids(70)
    wanted = swept(subject, ids[:, :64], sweeps_of(subject, 64, tile=(16, 16)))
    for chunk in (64, 32, 48, 70):
        sweeps, cache = sweeps_of(subject, 64, tile=(16, 16)), DynamicCache(config=subject.config)
        tiles = np.full(sweeps.layout()["map"][1], np.nan)
        for part in ids.split(chunk, 1):
            for entry, call in enumerate(
                _attention_calls(subject, part, **continuing(cache), use_cache=True)
            ):
                first, values = sweeps.on_attention(entry, call).get(
                    "map", (0, tiles[entry, :, :0])
                )
                tiles[entry, :, first : first + values.shape[1]] = values
        np.testing.assert_allclose(tiles, wanted["map"], atol=1e-5)
        for name, (_, values) in sweeps.finished().items():
            np.testing.assert_allclose(values, wanted[name], atol=1e-4, err_msg=f"{name} {chunk}")


def test_a_batch_is_refused():
    subject = model()
    with (
        pytest.raises(AttentropyError, match="one prompt at a time"),
        streamed(subject, sweeps_of(subject, 20)),
    ):
        subject(random_ids(20).repeat(2, 1), use_cache=False)


def test_a_layer_that_is_not_recorded_has_nothing():
    sweeps = Sweeps(40, [2, 0], tile=(8, 8))
    q, k, v = torch.randn(3, 1, 2, 40, 16, generator=torch.Generator().manual_seed(0))
    lse, visibility = attention(q, k, v).lse, Visibility(Mask(40, 40, 0))
    sweeps.on_attention(0, SequenceCall(q, k, lse, visibility, {}))
    for name, (_, values) in sweeps.finished().items():
        assert np.isnan(values[1]).all(), name
        assert np.isfinite(values[0]).all() or name in (
            "head_local", "uniform_local", "head_entropy", "head_diffuse"
        ), name  # fmt: skip


def test_of_layers_without_attention_nothing_is_kept():
    subject = model(
        "lfm2", layer_types=["conv", "full_attention", "conv"], full_attn_idxs=[1], block_dim=48
    )
    data = swept(subject, random_ids(40), sweeps_of(subject, 40, tile=(8, 8)))
    for name in ("map", "received", "head_sink", "head_entropy", "uniform_sink"):
        assert np.isnan(data[name][[0, 2]]).all(), name
        assert np.isfinite(data[name][1]).all(), name
