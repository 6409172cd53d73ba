"""The layer whose map opens, and the most attended tokens, follow from the weights."""

import numpy as np
import pytest

from attentropy.engine.trace.dataset import Trace
from attentropy.report.content.read_report import read_report
from attentropy.report.content.tables import of_received
from attentropy.report.figures.exact_weights import inset
from attentropy.report.findings.observations import observe
from attentropy.report.page.page import render
from attentropy.report.read.cells import cells_of
from attentropy.report.read.opening_map import (
    OpeningMap,
    opening_layer,
    opening_map,
    structure,
)
from attentropy.report.read.top_keys import top_keys
from traces import CHAT, synthetic


def test_structure_is_the_mutual_information_of_query_and_key():
    assert structure(np.full((4, 4), 0.25)) == pytest.approx(0)
    assert structure(np.eye(4)) == pytest.approx(np.log(4))
    sink = np.zeros((5, 4))
    sink[:, 0] = 1
    assert structure(sink) == pytest.approx(0)
    assert np.isnan(structure(np.full((2, 2), np.nan)))


def test_the_map_opens_at_the_layer_with_the_most_structure():
    trace = synthetic()
    n = len(CHAT)
    trace.dataset["window"].values[:] = 0
    trace.dataset["window"].values[..., 0] = 1
    trace.dataset["window"].values[4] = np.eye(n)
    assert opening_layer(trace) == 4
    page = render(trace, observe(trace))
    assert '<option value="4" selected>4</option>' in page
    assert "Token × token attention of layer 4" in page


def test_without_weights_the_first_layer_opens():
    assert opening_layer(synthetic(window=False)) == 0
    trace = synthetic()
    trace.dataset["window"].values[:] = np.nan
    assert opening_layer(trace) == 0


def _hidden():
    trace = synthetic()
    n, keys = len(CHAT), np.zeros((6, len(CHAT)), np.int32)
    keys[:, 0] = 1
    trace.dataset["top_key"].values[:] = 0
    others = np.full((6, 3, n), -1, np.int32)
    others[..., 1:] = 5
    dims = ("layer", "head", "query")
    received = np.full((6, 1, n), 0.1, np.float32)
    dataset = trace.dataset.assign(
        received=(("layer", "received_head", "position"), received),
        sink_keys=(("layer", "position"), keys),
        top_key_without_sinks=(dims, others),
    )
    return Trace(dataset.assign_coords(received_head=np.array([-1], np.int32)))


def test_cells_of_attention_leave_sink_keys_out():
    trace = _hidden()
    texts = cells_of(trace).texts("attention", slice(0, 3), 20)
    assert texts[2] == ["begin", CHAT[5], CHAT[5]]  # a query at the sink key has what it has
    assert (top_keys(trace)[..., 1:] == 5).all()
    plain = Trace(trace.dataset.drop_vars("top_key_without_sinks"))
    assert cells_of(plain).texts("attention", slice(0, 3), 20)[2] == ["begin"] * 3


def test_the_page_has_a_switch_that_shows_sink_keys():
    trace = _hidden()
    page = render(trace, observe(trace))
    assert 'id="sinks"' in page
    assert "besides sink keys" in page
    assert 'id="sinks"' not in render(synthetic(), observe(synthetic()))


def test_nothing_calls_what_uniform_attention_gives_a_threshold():
    page = render(synthetic(), observe(synthetic()))
    assert "framed heads" not in page
    for finding in observe(_hidden()):
        if finding.id == "sinks":  # twice what uniform attention gives the first key
            assert finding.threshold == pytest.approx(2 * np.mean(1 / np.arange(1, len(CHAT) + 1)))
        else:
            assert finding.threshold in (None, 0.0, 0.05)


def _with_window():
    """Return the trace with a sink key that receives most in the exact window of every layer."""
    trace = _hidden()
    data = trace.dataset.copy(deep=True)
    data["window"].values[..., 0] = 0.9
    data["received"].values[..., 0] = 9.0
    return Trace(data)


def test_the_inset_and_the_table_of_received_attention_leave_sink_keys_out():
    trace = _with_window()
    assert 0 not in inset(trace, 9, 2, None).keys
    assert inset(trace, 0, 2, None).keys == [0]  # the first query sees nothing else
    plain = Trace(trace.dataset.drop_vars("top_key_without_sinks"))
    assert 0 in inset(plain, 9, 2, None).keys
    table = of_received(trace, "2", 2)
    assert "0" not in [row[0] for row in table.rows]
    assert table.title.endswith(f"layer 2; sink keys left out: {CHAT[0]} (9)")
    assert "left out" not in of_received(plain, "2", 2).title
    report = read_report(trace, [])
    assert report.attention.sink_keys == ([0],) * 6


def test_the_map_opens_at_the_head_that_looks_at_a_word_for_the_decisive_one():
    trace = synthetic()
    word, last = CHAT.index(" Australia"), len(CHAT) - 1
    trace.dataset["top_key"].values[:] = 0  # all attend to the first token, which says nothing
    trace.dataset["max_prob"].values[:] = 0.9
    trace.dataset["top_key"].values[3, 1, last] = word
    trace.dataset["max_prob"].values[3, 1, last] = 0.6
    assert opening_map(trace) == OpeningMap(3, 1, 1)
    page = render(trace, observe(trace))
    assert "Token × token attention of layer 3, head 1" in page
    assert "Attention weights of layer 3, head 1, from queries (rows) to keys" in page


def test_structure_leaves_the_diagonal_and_sinks_out():
    trace = synthetic()
    n = len(CHAT)
    trace.dataset["top_key"].values[:] = 0
    weights = trace.dataset["window"].values
    weights[:] = 0
    weights[:4] = np.eye(n)  # the most structure of all, and nothing to see
    weights[4:, :, :, 0] = 1
    weights[5, 2, 10:, 0] = 0.5
    for query in range(10, n):
        weights[4, 1, query, [0, query - 7]] = 0.5  # a distance
        weights[5, 2, query, 4] = 0.5  # a key, whatever the distance
    assert opening_map(trace) == OpeningMap(5, 2, 2)
