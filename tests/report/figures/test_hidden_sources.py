"""The columns next to the section: p(word) when a source is hidden from a layer on."""

import base64
import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from attentropy.report.content.captions import filled_caption, trace_captions
from attentropy.report.content.hidden_words import count_columns, hidden_words, main_word
from attentropy.report.figures import heatmap_data
from attentropy.report.figures.effects_chart import NARROW, WIDE, effects_chart, shown_words
from attentropy.report.figures.heatmap import heatmap
from attentropy.report.figures.hidden_sources import (
    DATASETS,
    LOST,
    HiddenColumn,
    HiddenWord,
    amount,
    datasets,
    short_name,
    words_of_band,
)
from attentropy.report.figures.placement import place
from attentropy.report.figures.readable_rows import RowLayout, row_layout
from attentropy.report.figures.sizes import HIDDEN, HIDDEN_GAP, narrow, wide
from attentropy.report.read import views
from attentropy.report.read.sources import read_sources
from sourced import capital

LAYERS = [str(i) for i in range(6)]
INNER = 1030  # pixels that a page of 1,440 has for the figure, next to the heads
AT_820 = 746


def _columns(hidden=2):
    trace = capital()
    words = hidden_words(trace, LAYERS)
    word = main_word(trace, words)
    return word, datasets(word, row_layout(None, 6), wide(6, 26, hidden))


def test_a_column_has_a_bar_for_each_layer_and_a_frame_around_those_that_read_it():
    word, data = _columns()
    assert [column.name for column in word.columns] == ["capital", "Australia"]
    assert [column.note for column in word.columns] == ["in layers\n2–4", "in layer 5"]
    assert len(data["hidden"]) == 12
    first = data["hidden"][:6]
    assert [row["kind"] for row in first] == ["lost"] * 5 + ["kept"]
    assert first[0]["text"] == "0.001"
    assert first[0]["bar"] == 2  # 0.001, and yet seen
    assert first[5]["bar"] == pytest.approx(52 * word.columns[0].probabilities[5])
    assert [(band["y0"], band["y1"]) for band in data["hiddenbands"]] == [(2, 5), (5, 6)]
    assert data["hiddentitle"] == [{"text": "p(Canberra) if hidden\nfrom this layer on"}]


def test_layers_that_were_not_tested_are_hatched_and_have_no_bar():
    trace = capital()
    trace.sources["effect_from_layer"].values[:, 3] = np.nan
    word = main_word(trace, hidden_words(trace, LAYERS))
    assert word.columns[0].probabilities[3] is None
    data = datasets(word, row_layout(None, 6), wide(6, 26, 2))
    untested = [row for row in data["hidden"] if row["kind"] == "untested"]
    assert [(row["y0"], row["bar"] - row["x0"], row["text"]) for row in untested] == [
        (3, 0, "")
    ] * 2
    places = [(row["x0"], row["x1"]) for row in data["hiddenhatch"]]
    assert places == [(0, HIDDEN), (HIDDEN + HIDDEN_GAP, 2 * HIDDEN + HIDDEN_GAP)]
    assert not _columns()[1]["hiddenhatch"]  # all were tested
    assert "hatched: layers not tested." in _caption(trace)
    assert "not tested" not in _caption(capital())


def test_a_collapsed_layer_that_was_not_tested_is_hatched_too():
    layout = RowLayout((0.2, 0.2, 1.0), ("unreadable", "unreadable", ""))
    column = HiddenColumn("capital", "", (0.5, None, 0.5), None)
    rows = datasets(HiddenWord("", 0.65, (column,)), layout, wide(3, 26, 2))["hiddenhatch"]
    (row,) = rows
    picture = Image.open(io.BytesIO(base64.b64decode(row["url"].partition(",")[2]))).convert("RGBA")
    drawn = np.asarray(picture)[::-1, :, 3].any(1)  # from the bottom
    inside = (np.arange(len(drawn)) + 0.5) / len(drawn) * layout.total
    assert set(inside[drawn] // 0.2) == {1}
    assert drawn.any()


def _caption(trace):
    view, placed = views.read_view(trace, "lens"), place(trace, 11)
    return filled_caption(trace_captions(trace, placed, [view])["lens"], view, placed)


def test_the_first_layer_alone_makes_no_column():
    trace = capital()
    trace.sources["effect_from_layer"].values[:, 1:] = np.nan
    assert hidden_words(trace, LAYERS) == {}
    assert "hidden from this layer on" not in _caption(trace)


def test_a_figure_without_columns_is_as_it_was():
    assert wide(6, 26, 0) == wide(6, 26)
    assert wide(6).right == wide(6).gap + wide(6).legend
    assert datasets(None, row_layout(None, 6), wide(6, 26, 2)) == {n: [] for n in DATASETS}
    assert count_columns({}) == 0


@pytest.mark.parametrize("columns", [1, 2, 3])
def test_the_columns_fit_on_a_screen_of_1440_and_leave_cells_at_820(columns):
    size = wide(30, 45, columns)
    rest = sum(size.margins) + size.left + size.right
    assert size.section + rest <= INNER
    assert (AT_820 - rest) // size.column >= 4
    assert (INNER - rest) // size.column == size.columns
    assert narrow(30, 45).hidden == 0


def test_the_specification_has_the_columns_rows_and_no_more():
    trace, size = capital(), wide(6, 26, 2)
    view = views.read_view(trace, "lens")
    placed = place(trace, size.columns)
    word = main_word(trace, hidden_words(trace, LAYERS))
    data = heatmap_data.datasets(trace, size, placed, view, LAYERS, hidden=word)
    spec = heatmap(size, heatmap_data.state(trace, size, placed, view), data)
    assert set(DATASETS) <= set(spec["datasets"])
    assert spec["vconcat"][2]["columns"] == 4
    assert LOST in str(spec["vconcat"][2])


def test_names_and_numbers_fit_their_column():
    assert short_name("Australian") == "Australi…"
    assert [amount(p) for p in (0.65, 0.001, 0.9999, 0.0)] == ["0.65", "0.001", "1.000", "< .001"]
    assert words_of_band((0, 0), LAYERS) == "in layer 0"
    assert words_of_band((0, 2), LAYERS) == "by layer 2"
    assert words_of_band(None, LAYERS) == ""


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_the_chart_has_a_row_for_each_part_that_was_tested(width):
    spec = effects_chart(read_sources(capital()), width)
    rows = spec["datasets"]["effects"]
    assert len(rows) == len(spec["datasets"]["effectnames"]) == 5
    (note,) = spec["datasets"]["effectnotes"]
    assert note == {"y": 6.5, "text": "1 weaker part, 1 not tested"}
    assert [row["kind"] for row in rows[:3]] == ["source", "source", ""]
    assert rows[0]["hidden"] == pytest.approx(np.log(0.001 / 0.65), abs=1e-4)
    assert rows[1]["alone"] is None  # no copies
    assert {row["low"] for row in rows} == {row["totallow"] for row in rows} == {-0.2}
    assert {row["totalhigh"] for row in rows} == {0.1}
    assert spec["datasets"]["effectwords"] == [{"y": 0.5, "text": "“Canberra” 0.65"}]


def test_the_chart_has_a_group_for_another_text():
    trace = capital(versus="Sydney")
    assert not read_sources(trace).versus  # nothing was compared
    trace = capital(versus="Sydney")
    values = np.array([np.nan, -2.5, np.nan, -5.0, 0.1, 0.0, -0.1], np.float32)
    trace.sources["effect_versus"] = ("span", values)
    data = effects_chart(read_sources(trace), WIDE)["datasets"]
    assert data["effectwords"][1]["text"] == "answer − “Sydney”"
    assert [row["hidden"] for row in data["effects"][-5:]] == [-5, -2.5, 0.1, -0.1, 0]


def test_a_word_without_sources_gives_way_to_those_that_have_some():
    sources = read_sources(capital())
    words = [replace(w, is_decisive=True) for w in sources.words]
    sources = replace(sources, words=tuple(words), main=words[0])
    assert [word.text for word in shown_words(sources)][:3] == [
        words[0].text,
        "capital",
        "Canberra",
    ]


def test_names_of_any_script_are_cut_to_their_column():
    assert short_name("堪培拉是首都") == "堪培拉是…"
    assert short_name(
        "\u2068\u05d0\u05d1\u05d2 \u05d0\u05d1\u05d2\u05d0\u05d1\u05d2\u2069"
    ).endswith("…\u2069")
