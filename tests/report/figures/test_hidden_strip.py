"""For a telephone: p(word) when a source is hidden from a layer on, a row for each source."""

import numpy as np
import pytest

from attentropy.report.content.hidden_words import hidden_words, main_word, strip_words
from attentropy.report.figures.hidden_strip import hidden_strip
from attentropy.report.page.document import draw_still
from attentropy.report.read.sources import read_sources
from sourced import capital

LAYERS = [str(i) for i in range(6)]


def _data(trace):
    words = hidden_words(trace, LAYERS)
    return main_word(trace, words), hidden_strip(main_word(trace, words), LAYERS)["datasets"]


def test_each_layer_of_a_source_has_a_bar_and_the_layers_that_read_it_a_frame():
    word, data = _data(capital())
    assert [row["text"] for row in data["names"]] == ["capital", "Australia"]
    assert [row["text"] for row in data["notes"]] == ["in layers 2–4", "in layer 5"]
    bars = data["bars"]
    assert [row["kind"] for row in bars[:6]] == ["lost"] * 5 + ["kept"]
    assert bars[5]["y1"] - bars[5]["bar"] == pytest.approx(
        28 * word.columns[0].probabilities[5], abs=0.01
    )
    assert bars[0]["y1"] - bars[0]["bar"] == 2  # 0.001, and yet seen
    assert data["bands"][0]["x0"] == pytest.approx(bars[2]["x0"], abs=0.01)
    assert data["bands"][0]["x1"] == pytest.approx(bars[4]["x1"], abs=0.01)
    assert [row["text"] for row in data["axis"]] == ["layer 0", "1", "2", "3", "4", "5"]


def test_layers_that_were_not_tested_are_hatched():
    trace = capital()
    assert not _data(trace)[1]["gaps"]
    assert "not tested" not in strip_words(read_sources(trace), hidden_words(trace, LAYERS))
    trace = capital()
    trace.sources["effect_from_layer"].values[:, 3] = np.nan
    _, data = _data(trace)
    assert [row["kind"] for row in data["bars"]].count("untested") == len(data["gaps"]) == 2
    words = strip_words(read_sources(trace), hidden_words(trace, LAYERS))
    assert words == (
        "p(Canberra) if hidden from this layer on, layers from left to right. Green: at least half "
        "of it is left; frame: the layers that read the source; hatched: not tested."
    )


@pytest.mark.parametrize("layers", [1, 2, 30, 126])
def test_the_names_of_layers_do_not_overlap(layers):
    word = main_word(capital(), hidden_words(capital(), LAYERS))
    names = [str(i) for i in range(layers)]
    places = [row["x"] for row in hidden_strip(word, names)["datasets"]["axis"]]
    assert (np.diff(places) >= 20).all()


def test_it_fits_on_a_telephone():
    word = main_word(capital(), hidden_words(capital(), LAYERS))
    assert draw_still(hidden_strip(word, LAYERS)).width <= 370


def test_nothing_is_said_where_no_layers_were_tested():
    trace = capital()
    trace.sources["effect_from_layer"].values[:] = np.nan
    assert hidden_words(trace, LAYERS) == {}
    assert strip_words(read_sources(trace), {}) == ""
    assert strip_words(None, {}) == ""
