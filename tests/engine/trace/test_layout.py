"""An array's name decides its layout: type, fill value and chunks."""

import math

import numpy as np
import pytest

from attentropy.engine.trace.layout import NARROW, array_layout
from attentropy.engine.trace.schema import VARIABLES

QUERIES = (("layer", "head", "query"), (3, 2, 100))


@pytest.mark.parametrize("storage", ["float32", "float16"])
def test_only_floats_that_fit_are_narrowed(storage):
    for name, (_, kind) in VARIABLES.items():
        dtype = array_layout(name, *QUERIES, 16, storage).dtype
        if kind == "i":
            assert dtype == np.int32
        else:
            assert dtype == (np.float16 if storage == "float16" and name in NARROW else np.float32)
    assert all(VARIABLES[name][1] == "f" for name in NARROW)
    assert not NARROW & {"lse", "distance"}


def test_missing_values_are_nan_or_minus_one_and_no_key_is_visible():
    assert math.isnan(array_layout("entropy", *QUERIES, 16, "float32").fill)
    assert array_layout("top_key", *QUERIES, 16, "float32").fill == -1
    assert array_layout("visible", ("layer", "query"), (3, 100), 16, "float32").fill == 0


def test_a_chunk_holds_one_layer_all_heads_and_a_step_of_queries():
    assert array_layout("entropy", *QUERIES, 16, "float32").chunks == (1, 2, 16)
    assert array_layout("entropy", *QUERIES, 4096, "float32").chunks == (1, 2, 100)


def test_tiles_of_the_map_are_cut_where_the_queries_are():
    dims = ("layer", "map_head", "map_query", "map_key")
    assert array_layout("map", dims, (3, 2, 50, 50), 16, "float32", tall=4).chunks == (1, 2, 4, 50)
