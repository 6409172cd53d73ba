"""Arrays whose final length is not known in advance hold each part where it was put."""

import numpy as np
import torch

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
    assert [part.shape for part in sink.parts("entropy", 1)] == [(2, 3), (2, 1)]
