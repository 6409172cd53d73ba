"""Map, column sums, windows and head scores against the model's own eager weights, in float64."""

from contextlib import contextmanager

import numpy as np
import pytest
import torch
import xarray as xr
from transformers import DynamicCache

from attentropy.engine.attention import plan as layout
from attentropy.engine.attention.hook import Listener
from attentropy.engine.attention.recorder import DEFAULT_STATS, record
from attentropy.engine.attention.selfcheck import attention_entries, check_model, listening
from attentropy.engine.attention.stream import Stream
from attentropy.engine.attention.visibility import Visibility
from attentropy.engine.errors import AttentropyError
from attentropy.engine.maps.head_scores import SCORES
from attentropy.engine.maps.head_sums import HeadSums
from attentropy.engine.maps.sweeps import Sweeps
from attentropy.engine.maps.windows import Rectangle
from attentropy.engine.trace.layout import array_layout
from attentropy.engine.trace.sinks import MemorySink
from attentropy.kernels.common.mask import Mask
from attentropy.kernels.ops import attention
from tiny import model

LENGTH = 301
FAMILIES = {
    "grouped": ("llama", {}),
    "sliding": ("mistral", {"sliding_window": 70}),
    "alternating": (
        "gemma3_text",
        {"sliding_window": 70, "head_dim": 16, "query_pre_attn_scalar": 16},
    ),
    "learned sinks": ("gpt_oss", {"sliding_window": 9, "head_dim": 16, "num_local_experts": 4}),
}
WINDOWS = (
    Rectangle("window", (237, 301), (237, 301), per_head=True, shares=True),
    Rectangle("window1", (90, 131), (3, 120), per_head=True),
    Rectangle("window2", (0, 301), (40, 41), per_head=False),
)


def _model(family):
    kind, extra = FAMILIES[family]
    return model(kind, max_position_embeddings=512, **extra)


def _ids(length=LENGTH, seed=0):
    return torch.randint(0, 250, (1, length), generator=torch.Generator().manual_seed(seed))


def _eager(made, ids):
    """The model's own weights over the keys, [layer, head, query, key] float64."""
    before = made.config._attn_implementation
    made.set_attn_implementation("eager")
    with torch.no_grad():
        weights = made(ids, output_attentions=True, use_cache=False).attentions
    made.set_attn_implementation(before)
    p = torch.stack([w[0] for w in weights]).double()
    return (p / p.sum(-1, keepdim=True)).numpy()


def _sweeps(made, tokens=LENGTH, **plan):
    heads = [check_model(made).heads.get(entry, 0) for entry in attention_entries(made)]
    return Sweeps(tokens, heads, **plan)


def _swept(made, ids, sweeps, chunk=None):
    """The recording's dataset, of one pass or of chunks through the cache."""
    cache = None if chunk is None else DynamicCache(config=made.config)
    chunk = chunk or ids.shape[1]
    with _streamed(made, sweeps) as arrays:
        for start in range(0, ids.shape[1], chunk):
            made(ids[:, start : start + chunk], past_key_values=cache, use_cache=cache is not None)
    return _dataset(sweeps, arrays)


@contextmanager
def _streamed(made, sweeps, stats=DEFAULT_STATS):
    """While open, what `sweeps` finishes of the model's passes goes into the arrays given."""
    kept, _ = layout.plan_attention(made, sweeps.tokens, stats, None, "all")
    sink = MemorySink()
    fields = kept.fields(sweeps.tokens, "float32")
    for name, (dims, shape) in sweeps.layout().items():
        fields[name] = array_layout(name, dims, shape, sweeps.tokens, "float32")
    for name, array in fields.items():
        sink.create(name, array)
    stream = Stream(kept, sink, sweeps)
    with torch.no_grad(), record(made, stats=stats, stream=stream):
        yield sink.arrays


class _Ears(Listener):
    """Keeps what `Sweeps.on_attention` takes of every call."""

    stats, impl = ("entropy",), None

    def __init__(self):
        self.calls = []

    def on_attention(self, module, tensors, seen, score, result):
        self.calls.append((*tensors[:2], result.lse, seen, score, result.entropy))


def _heard(made, ids, **given):
    ears = _Ears()
    with torch.no_grad(), listening(made, ears, masks_built=check_model(made).masks_built):
        made(ids, **{"use_cache": False} | given)
    return ears.calls


def _dataset(sweeps, arrays):
    grown = {name: (dims, arrays[name]) for name, (dims, _) in sweeps.layout().items()}
    return xr.Dataset(grown | sweeps.finished(), sweeps.coordinates())


def _tiles(p, tile):
    """[.., N, N] to the mean over a tile's queries of what they put into it."""
    rows = np.arange(0, p.shape[-2], tile[0])
    keys = np.arange(0, p.shape[-1], tile[1])
    counts = np.diff([*rows, p.shape[-2]])
    sums = np.add.reduceat(np.add.reduceat(p, rows, -2), keys, -1)
    return sums / counts[:, None]


@pytest.fixture(scope="module", params=FAMILIES)
def family(request):
    made = _model(request.param)
    return made, _eager(made, _ids())


@pytest.mark.parametrize("tile", [(16, 16), (7, 50), (301, 1), (512, 512)])
@pytest.mark.parametrize("per_head", [False, True])
def test_a_map_is_the_mean_mass_of_its_tiles(family, tile, per_head):
    made, p = family
    data = _swept(made, _ids(), _sweeps(made, tile=tile, map_per_head=per_head))
    wanted = _tiles(p if per_head else p.mean(1, keepdims=True), tile)
    np.testing.assert_allclose(data["map"], wanted, atol=1e-5)
    np.testing.assert_allclose(data["map"].sum("map_key"), 1, atol=1e-5)
    assert list(data["map_head"]) == (list(range(4)) if per_head else [-1])
    assert list(data["map_query"]) == list(range(0, LENGTH, tile[0]))
    assert list(data["map_key"]) == list(range(0, LENGTH, tile[1]))


@pytest.mark.parametrize("tile", [None, (16, 16)])
def test_what_keys_receive_is_the_column_sum_of_the_mean_over_heads(family, tile):
    made, p = family
    data = _swept(made, _ids(), _sweeps(made, tile=tile))
    np.testing.assert_allclose(data["received"][:, 0], p.mean(1).sum(1), atol=1e-4)
    np.testing.assert_allclose(data["received"].sum("position"), LENGTH, rtol=1e-5)
    assert list(data["received_head"]) == [-1]


def test_windows_are_the_models_own_weights(family):
    made, p = family
    data = _swept(made, _ids(), _sweeps(made, rectangles=WINDOWS))
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
    made, p = family
    square = Rectangle("window", (237, 301), (237, 301), per_head=False, shares=True)
    data = _swept(made, _ids(), _sweeps(made, rectangles=[square]))
    share = -p * np.log(np.where(p > 0, p, 1))
    np.testing.assert_allclose(data["window"][:, 0], p.mean(1)[:, 237:, 237:], atol=1e-5)
    np.testing.assert_allclose(
        data["window_entropy"][:, 0], share.mean(1)[:, 237:, 237:], atol=1e-4
    )


def _wanted_scores(p):
    """The definitions, from weights [layer, head, query, key]; visible is where no weight is 0."""
    seen = p[:, 0] > 0
    visible = seen.sum(-1)
    row = np.arange(p.shape[-1])
    entropy = -(p * np.log(np.where(p > 0, p, 1))).sum(-1)
    near = np.tril(np.ones(p.shape[-2:], bool)) & (row[:, None] - row < 64)
    found = {}
    for layer, layers in enumerate(p):
        enough = visible[layer].max()
        sees, two = seen[layer, :, 0], visible[layer] >= 2
        n = visible[layer]
        previous = layers[:, row[1:], row[:-1]]
        values = {
            "sink": (layers[:, sees, 0].mean(-1), (1 / n[sees]).mean()),
            "local": ((layers * near).sum(-1).mean(-1), (np.minimum(n, 64) / n).mean()),
            "previous": (previous.mean(-1), (1 / n[1:]).mean()),
            "entropy": (entropy[layer][:, two].mean(-1), None),
            "diffuse": ((entropy[layer][:, two] / np.log(n[two])).mean(-1), None),
        }
        for name, (score, uniform) in values.items():
            measured = name == "entropy" or enough >= SCORES[name].keys_needed
            found[name, layer] = score if measured else np.full_like(score, np.nan)
            if uniform is not None:
                found["uniform", name, layer] = uniform if measured else np.nan
    return found


def _assert_scores(data, p):
    for name, wanted in _wanted_scores(p).items():
        kind = "uniform" if name[0] == "uniform" else "head"
        got = data[f"{kind}_{name[-2]}"][name[-1]]
        np.testing.assert_allclose(got, wanted, atol=2e-5, err_msg=str(name))


def test_head_scores_are_those_of_the_weights(family):
    made, p = family
    data = _swept(made, _ids(), _sweeps(made))
    _assert_scores(data, p)
    assert list(data["score_head"]) == [0, 1, 2, 3]


def test_a_uniform_head_scores_what_is_printed_as_uniform():
    made = _model("sliding")
    with torch.no_grad():
        made.model.layers[1].self_attn.q_proj.weight.zero_()
    data = _swept(made, _ids(), _sweeps(made))
    for name in ("sink", "previous"):
        uniform = float(data[f"uniform_{name}"][1])
        np.testing.assert_allclose(data[f"head_{name}"][1], uniform, rtol=1e-4)
    np.testing.assert_allclose(data["head_diffuse"][1], 1, rtol=1e-5)
    assert float(data["uniform_sink"][1]) == pytest.approx((1 / np.arange(1, 71)).mean(), rel=1e-5)


def test_a_score_that_the_prompt_is_too_short_for_is_absent():
    made = model()
    for length, absent in ((7, {"sink", "local", "previous"}), (255, {"local"}), (256, set())):
        data = _swept(made, _ids(length), _sweeps(made, length))
        for name in ("sink", "local", "previous"):
            for kind in ("head", "uniform"):
                missing = np.isnan(data[f"{kind}_{name}"])
                assert bool(missing.all()) == bool(missing.any()) == (name in absent), (
                    name,
                    length,
                )
        assert np.isfinite(data["head_entropy"]).all()


def test_where_every_head_has_a_short_window_no_head_is_called_local():
    made = _model("sliding")
    data = _swept(made, _ids(), _sweeps(made))
    assert np.isnan(data["head_local"]).all()
    assert np.isfinite(data["head_sink"]).all()


def test_without_the_entropy_its_scores_are_absent():
    made = model()
    sweeps = _sweeps(made, 40)
    with _streamed(made, sweeps, ("max_prob",)) as arrays:
        made(_ids(40), use_cache=False)
    data = _dataset(sweeps, arrays)
    assert np.isnan(data["head_entropy"]).all()
    assert np.isnan(data["head_diffuse"]).all()
    assert np.isfinite(data["head_sink"]).all()


def test_keys_without_an_order_have_no_last_ones():
    q, k, v = torch.randn(3, 1, 2, 300, 16, generator=torch.Generator().manual_seed(0))
    seen = Visibility(Mask(300, 300, 0, causal=False))
    lse = attention(q, k, v, causal=False).lse
    sums = HeadSums([2])
    sums.add(0, q, k, lse, seen, {}, None)
    assert np.isnan(sums.scores()["head_local"]).all()
    p = torch.softmax(q[0].double() @ k[0].double().mT / 4, -1)
    np.testing.assert_allclose(sums.scores()["head_sink"][0], p[:, :, 0].mean(-1), atol=1e-6)


@pytest.mark.parametrize(("tile", "chunk"), [((16, 16), 16), ((16, 7), 48), ((9, 32), 99)])
def test_chunks_through_the_cache_give_what_one_pass_gives(family, tile, chunk):
    made, _ = family
    plan = {"tile": tile, "rectangles": WINDOWS}
    whole = _swept(made, _ids(), _sweeps(made, **plan))
    parts = _swept(made, _ids(), _sweeps(made, **plan), chunk)
    for name in {"map", "received", "window", "window1", "window2"} | {
        str(n) for n in whole if str(n).startswith(("head_", "uniform_"))
    }:
        np.testing.assert_allclose(parts[name], whole[name], atol=2e-4, err_msg=name)
    np.testing.assert_allclose(parts["map"].sum("map_key"), 1, atol=1e-5)
    assert np.isfinite(parts["map"]).all()


def test_bands_of_column_sums_are_one_map(monkeypatch):
    made = _model("sliding")
    plan = {"tile": (16, 16), "map_per_head": True}
    whole = _swept(made, _ids(), _sweeps(made, **plan))
    monkeypatch.setattr("attentropy.engine.maps.sweeps._ALIVE_BYTES", 3 * 4 * 4 * LENGTH)
    bands = _swept(made, _ids(), _sweeps(made, **plan))
    np.testing.assert_allclose(bands["map"], whole["map"], atol=1e-6)
    np.testing.assert_allclose(bands["received"], whole["received"], atol=1e-4)


def test_a_mean_window_read_in_parts_is_the_window(monkeypatch):
    made = _model("sliding")
    square = Rectangle("window", (200, 301), (190, 301), per_head=False, shares=True)
    whole = _swept(made, _ids(), _sweeps(made, rectangles=[square]))
    monkeypatch.setattr("attentropy.engine.attention.weights._ALIVE_BYTES", 7 * 4 * 4 * 111)
    parts = _swept(made, _ids(), _sweeps(made, rectangles=[square]))
    for name in ("window", "window_entropy"):
        np.testing.assert_allclose(parts[name], whole[name], atol=1e-6)


class _Restored(Sweeps):
    """Between its passes it is saved and goes on as another."""

    def on_attention(self, entry, *given, **more):
        fresh = Sweeps(self.tokens, self.heads, tile=self.tile, rectangles=self.rectangles)
        fresh.restore({name: values.copy() for name, values in self.state().items()})
        done = fresh.on_attention(entry, *given, **more)
        self.restore(fresh.state())
        return done


def test_a_state_saved_and_restored_goes_on_where_it_was():
    made = _model("sliding")
    heads = _sweeps(made).heads
    plan = {"tile": (16, 16), "rectangles": WINDOWS}
    wanted = _swept(made, _ids(), Sweeps(LENGTH, heads, **plan), 48)
    got = _swept(made, _ids(), _Restored(LENGTH, heads, **plan), 48)
    for name in wanted.data_vars:
        np.testing.assert_array_equal(got[name], wanted[name], err_msg=str(name))


@pytest.mark.parametrize("family_name", ["grouped", "alternating"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_leaves_everything_as_it_was(family_name, side):
    made = _model(family_name)
    ids, pad = _ids(101), torch.zeros(1, 5, dtype=torch.int64)
    rectangles = [Rectangle("window", (40, 101), (30, 101), per_head=True)]
    plan = {"tile": (16, 7), "rectangles": rectangles}
    wanted = _swept(made, ids, _sweeps(made, 101, **plan))
    padded = torch.cat([pad, ids] if side == "left" else [ids, pad], 1)
    mask = torch.ones_like(padded)
    mask[:, slice(0, 5) if side == "left" else slice(-5, None)] = 0
    positions = (mask.cumsum(-1) - 1).clamp_min(0)
    given = _heard(made, padded, attention_mask=mask, position_ids=positions)
    sweeps = _sweeps(made, 101, **plan)
    found = [sweeps.on_attention(entry, *call) for entry, call in enumerate(given)]
    rows = {name: np.stack([done[name][1] for done in found]) for name in found[0]}
    got = _dataset(sweeps, rows)
    for name in ("map", "received", "window", "head_sink", "head_previous", "head_entropy"):
        np.testing.assert_allclose(got[name], wanted[name], atol=1e-4, err_msg=name)


def test_chunked_attention_counts_its_chunks_from_the_first_token():
    """Also where a cache has dropped tokens, and where the prompt is padded."""
    random = torch.Generator().manual_seed(0)
    q, k, v = torch.randn(3, 1, 2, 50, 16, generator=random)
    lse = attention(q, k, v, chunk=12).lse
    rectangle = Rectangle("window1", (0, 50), (0, 50), per_head=True)
    p = torch.softmax((q[0].double() @ k[0].double().mT / 4).masked_fill(_hidden(12), -1e9), -1)
    wanted = _tiles(p.mean(0).numpy(), (5, 7))

    def run(*passes):
        sweeps = Sweeps(50, [2], tile=(5, 7), rectangles=[rectangle])
        found = [sweeps.on_attention(0, *given) for given in passes]
        return np.concatenate([rows["map"][1][0] for rows in found]), found[-1], sweeps

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
    given = (torch.cat([before, q], 2), torch.cat([before, k], 2), more, padded, {})
    np.testing.assert_allclose(run(given)[0], wanted, atol=1e-5)


def _hidden(chunk):
    i = torch.arange(50)
    return (i[None, :] > i[:, None]) | (i[None, :] // chunk != i[:, None] // chunk)


def test_a_pass_that_begins_within_a_tile_is_refused():
    made = model()
    with pytest.raises(AttentropyError, match="multiple of 16 tokens") as caught:
        _swept(made, _ids(60), _sweeps(made, 60, tile=(16, 16)), 20)
    assert "\n" not in str(caught.value)


def test_what_is_generated_after_the_prompt_is_left_out():
    made = model()
    ids = _ids(70)
    wanted = _swept(made, ids[:, :64], _sweeps(made, 64, tile=(16, 16)))
    for chunk in (64, 32, 48, 70):
        sweeps, cache = _sweeps(made, 64, tile=(16, 16)), DynamicCache(config=made.config)
        found = np.full(sweeps.layout()["map"][1], np.nan)
        for part in ids.split(chunk, 1):
            for entry, given in enumerate(
                _heard(made, part, past_key_values=cache, use_cache=True)
            ):
                first, values = sweeps.on_attention(entry, *given).get(
                    "map", (0, found[entry, :, :0])
                )
                found[entry, :, first : first + values.shape[1]] = values
        np.testing.assert_allclose(found, wanted["map"], atol=1e-5)
        for name, (_, values) in sweeps.finished().items():
            np.testing.assert_allclose(values, wanted[name], atol=1e-4, err_msg=f"{name} {chunk}")


def test_a_batch_is_refused():
    made = model()
    with (
        pytest.raises(AttentropyError, match="one at a time"),
        _streamed(made, _sweeps(made, 20)),
    ):
        made(_ids(20).repeat(2, 1), use_cache=False)


def test_a_layer_that_is_not_recorded_has_nothing():
    sweeps = Sweeps(40, [2, 0], tile=(8, 8))
    q, k, v = torch.randn(3, 1, 2, 40, 16, generator=torch.Generator().manual_seed(0))
    sweeps.on_attention(0, q, k, attention(q, k, v).lse, Visibility(Mask(40, 40, 0)), {})
    for name, (_, values) in sweeps.finished().items():
        assert np.isnan(values[1]).all(), name
        assert np.isfinite(values[0]).all() or name in (
            "head_local", "uniform_local", "head_entropy", "head_diffuse"
        ), name  # fmt: skip


def test_of_layers_without_attention_nothing_is_kept():
    made = model(
        "lfm2", layer_types=["conv", "full_attention", "conv"], full_attn_idxs=[1], block_dim=48
    )
    data = _swept(made, _ids(40), _sweeps(made, 40, tile=(8, 8)))
    for name in ("map", "received", "head_sink", "head_entropy", "uniform_sink"):
        assert np.isnan(data[name][[0, 2]]).all(), name
        assert np.isfinite(data[name][1]).all(), name
