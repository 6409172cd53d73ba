"""Arrays whose final length is not known in advance hold each part where it was put."""

import itertools

import numpy as np
import pytest
import torch

from attentropy.engine.attention import growing
from attentropy.engine.attention.growing import Growing
from attentropy.engine.trace.layout import array_layout


def _grown():
    sink = Growing()
    sink.put("entropy", (1, slice(0, 2), slice(0, 3)), torch.ones(2, 3))
    sink.put("entropy", (1, slice(0, 2), slice(3, 4)), torch.full((2, 1), 2.0))
    sink.put("entropy", (0, slice(0, 1), slice(0, 4)), torch.full((1, 4), 3.0))
    return sink


def test_parts_are_put_together_by_entry_and_what_is_missing_is_nan():
    sink = _grown()
    layout = array_layout("entropy", ("layer", "head", "query"), (3, 2, 4), 4, "float32")
    values = sink.array("entropy", layout, [0, None, 1])
    np.testing.assert_array_equal(values[0, 0], [3, 3, 3, 3])
    assert np.isnan(values[0, 1]).all()
    assert np.isnan(values[1]).all()
    np.testing.assert_array_equal(values[2], [[1, 1, 1, 2]] * 2)
    assert values.dtype == np.float32


def test_the_longest_entry_gives_the_rows_and_the_largest_parts_the_shape():
    sink = _grown()
    assert sink.rows("entropy") == 4
    assert sink.rows("visible") == 0
    assert sink.shape("entropy") == (2, 4)
    assert sink.names == ["entropy"]
    assert [part.shape for part in sink.parts("entropy", 1)] == [(2, 4)]


@pytest.mark.parametrize("shape", [(2,), (2, 3), ()], ids=["statistic", "window", "visible"])
@pytest.mark.parametrize("first", [1, 5, 70])
def test_rows_that_come_one_by_one_are_kept_in_few_arrays(first, shape, monkeypatch):
    """Compare with the rows themselves, over several runs, and leave the caller's arrays alone."""
    monkeypatch.setattr(growing, "_RUN", 100)
    heads, keys = shape[:1], shape[1:]
    wanted = np.random.default_rng(0).random((*heads, 250, *keys)).astype(np.float32)
    source = wanted.copy()
    sink, rows = Growing(), [0, first, *range(first + 1, 251)]
    for start, stop in itertools.pairwise(rows):
        place = (*(slice(0, h) for h in heads), slice(start, stop))
        sink.put("entropy", (0, *place), source[(*[slice(None)] * len(heads), slice(start, stop))])
    parts = sink.parts("entropy", 0)
    np.testing.assert_array_equal(np.concatenate(parts, len(heads)), wanted)
    np.testing.assert_array_equal(source, wanted)
    assert len(parts) == 3
    assert sink.rows("entropy") == 250
    assert sink.shape("entropy") == wanted.shape


def test_rows_that_do_not_follow_or_are_of_another_kind_are_kept_apart():
    sink = Growing()
    sink.put("entropy", (0, slice(0, 2), slice(0, 3)), np.ones((2, 3), np.float32))
    sink.put("entropy", (0, slice(0, 2), slice(5, 6)), np.ones((2, 1), np.float32))  # a gap
    sink.put("entropy", (0, slice(0, 1), slice(6, 7)), np.ones((1, 1), np.float32))  # fewer heads
    sink.put("entropy", (0, slice(0, 1), slice(7, 8)), np.ones((1, 1), np.float64))
    sink.put("entropy", (0, slice(0, 1), slice(7, 8)), np.zeros((1, 1), np.float64))  # again
    assert len(sink.parts("entropy", 0)) == 5
    layout = array_layout("entropy", ("layer", "head", "query"), (1, 2, 8), 8, "float32")
    values = sink.array("entropy", layout, [0])[0]
    np.testing.assert_array_equal(values[0], [1, 1, 1, np.nan, np.nan, 1, 1, 0])
