"""A tile has the mean, minimum and maximum of its positions, and each head is read once."""

import numpy as np
import pytest

from attentropy.engine.trace import lazy
from attentropy.engine.trace.dataset import Trace
from attentropy.report import planes
from attentropy.report.read.visible import visible_keys
from traces import synthetic


@pytest.mark.parametrize(
    ("n", "columns", "expected"), [(1, 8, 1), (8, 8, 1), (9, 8, 2), (1000, 8, 128)]
)
def test_a_step_is_the_smallest_power_of_two_that_leaves_room(n, columns, expected):
    assert planes.tile_size(n, columns) == expected


def test_a_tile_is_of_what_was_read_and_the_last_may_be_short():
    values = np.random.default_rng(0).normal(size=(3, 37)).astype(np.float32)
    values[0, 4:8] = np.nan
    values[1, 33:] = np.nan
    tiles = planes.make_tiles(values, 8)
    assert tiles.mean.shape == (3, 5)
    for row in range(3):
        for tile in range(5):
            part = values[row, tile * 8 : tile * 8 + 8]
            part = part[np.isfinite(part)]
            if part.size:
                assert tiles.mean[row, tile] == pytest.approx(part.mean(), abs=1e-6)
                assert (tiles.low[row, tile], tiles.high[row, tile]) == (part.min(), part.max())
            else:
                assert np.isnan([tiles.mean[row, tile], tiles.low[row, tile]]).all()


def test_attention_is_the_mean_of_the_heads_that_there_are():
    trace = synthetic()
    entropy = trace.dataset["entropy"].values
    entropy[2, 1, 5] = np.nan
    entropy[3] = np.nan
    averages = planes.read_attention(trace, columns=4)
    heads = [0, 2]
    assert averages.mean[2, 5] == pytest.approx(entropy[2, heads, 5].mean(), abs=1e-6)
    assert np.isnan(averages.mean[3]).all()
    assert averages.step == 8
    assert averages.heads[0, 1, 0] == pytest.approx(entropy[0, 1, :8].mean(), abs=1e-6)
    ceiling = np.log(np.arange(17) + 1.0)[1:]
    assert averages.normalized_count[0, 0] == 16
    assert averages.normalized_sum[0, 0] == pytest.approx(
        (entropy[0, 0, 1:] / ceiling).sum(), rel=1e-6
    )


@pytest.mark.parametrize("kind", ["causal", "window", "chunks", "odd", "one"])
def test_visible_keys_are_the_same_from_their_lines(kind):
    trace = synthetic(
        ["a"] if kind == "one" else ["a"] * 41, ["content"] * (1 if kind == "one" else 41)
    )
    counts = trace.dataset["visible"].values
    if kind == "window":
        counts[:] = np.minimum(counts, 7)
    if kind == "chunks":
        counts[:] = (counts - 1) % 8 + 1
    if kind == "odd":
        counts[:] = np.random.default_rng(0).integers(0, 9, counts.shape)
    for layer, lines in enumerate(visible_keys(trace)):
        for position, expected in enumerate(counts[layer]):
            start, count, rise = [line for line in lines if line[0] <= position][-1]
            assert count + rise * (position - start) == expected


@pytest.mark.parametrize("name", ["entropy", "normalized_entropy"])
def test_of_one_head_no_other_is_read(tmp_path, monkeypatch, name):
    trace = Trace.open(synthetic().save(tmp_path / "t.zarr"))
    wanted = planes.read_layer(trace, name, 2)[1]
    keys, read = [], lazy._StoredArray._read
    monkeypatch.setattr(
        lazy._StoredArray, "_read", lambda a, key: keys.append((a._name, *key[:2])) or read(a, key)
    )
    np.testing.assert_array_equal(planes.read_layer(trace, name, 2, 1), wanted)
    assert [key for key in keys if key[0] == "entropy"] == [("entropy", 2, 1)]
