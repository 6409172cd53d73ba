"""A tile of the map is empty where none of its queries sees any of its keys."""

import numpy as np
import pytest

from attentropy.engine.trace.dataset import Trace
from attentropy.report.figures.tilemap_data import hidden_tiles
from traces import synthetic

EDGES = [0, 4, 8, 12, 16, 17]
N = 17


def seen_by(visible):
    """Return which keys each query sees, [query, key]: its own and those before it."""
    keys, queries = np.arange(N)[None, :], np.arange(N)[:, None]
    return (keys <= queries) & (keys > queries - visible[:, None])


def windowed(window):
    """Return a trace whose queries see the last `window` keys, and these counts."""
    data = synthetic().dataset
    visible = np.minimum(np.arange(N) + 1, window)
    return Trace(data.assign(visible=(("layer", "query"), np.tile(visible, (6, 1))))), visible


def by_tile(sees):
    """Return whether any query of a tile sees any of its keys."""
    rows = np.logical_or.reduceat(sees, EDGES[:-1], 0)
    return np.logical_or.reduceat(rows, EDGES[:-1], 1)


@pytest.mark.parametrize("window", [1, 3, 4, 5, 7, 16, 40])
def test_tiles_after_the_queries_and_before_their_window_are_empty(window):
    trace, visible = windowed(window)
    shares = by_tile(seen_by(visible)).astype(float)
    hidden = hidden_tiles(trace, 2, np.zeros_like(shares), EDGES, EDGES)
    np.testing.assert_array_equal(hidden, shares == 0)


def test_a_tile_with_attention_is_never_empty():
    trace, _ = windowed(3)
    shares = np.zeros((5, 5))
    shares[4, 0] = 0.2  # a model that keeps its first keys, too
    hidden = hidden_tiles(trace, 0, shares, EDGES, EDGES)
    assert not hidden[4, 0]
    assert hidden[4, 1]


def test_a_trace_without_counts_knows_what_comes_later():
    trace = Trace(synthetic().dataset.drop_vars("visible"))
    hidden = hidden_tiles(trace, 0, np.zeros((5, 5)), EDGES, EDGES)
    np.testing.assert_array_equal(hidden, np.triu(np.ones((5, 5), bool), 1))
