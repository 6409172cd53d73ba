"""The figure's sizes, fonts and labels, the lines where values are missing, and the histogram."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from attentropy.report import vega
from attentropy.report.export.fonts import styled_widths
from attentropy.report.figures.hatch import PERIOD, hatch, lines
from attentropy.report.figures.heatmap import heatmap
from attentropy.report.figures.heatmap_data import datasets, in_lines, state
from attentropy.report.figures.histogram import BINS, bars
from attentropy.report.figures.legend import end_words
from attentropy.report.figures.placement import place
from attentropy.report.figures.readable_rows import row_layout
from attentropy.report.figures.sizes import CAPTION, FUNNEL, LABELS, STRIP, narrow, wide
from attentropy.report.read.views import fitted, read_view
from attentropy.report.scale import Scale
from traces import CHAT, synthetic

LEAST_FONT = 10  # pixels


def drawn(trace, size, view=None):
    view = view or fitted(read_view(trace, "lens"))
    rows = [str(int(layer)) for layer in trace["layer"]]
    placed = place(trace, size.columns)
    return datasets(trace, size, placed, view, rows), state(trace, size, placed, view)


def fonts(spec):
    """Return all font sizes in a specification that are numbers."""
    if isinstance(spec, list):
        return [font for part in spec for font in fonts(part)]
    if not isinstance(spec, dict):
        return []
    own = [
        value for key, value in spec.items() if key == "fontSize" and not isinstance(value, dict)
    ]
    return own + [font for part in spec.values() for font in fonts(part)]


@pytest.mark.parametrize("layout", [wide, narrow])
@pytest.mark.parametrize("layers", [1, 8, 30, 62, 126])
def test_the_figure_is_at_most_580_pixels_high_and_its_texts_at_least_10(layout, layers):
    trace = synthetic(layers=layers, window=False)
    size = layout(layers, 10**5)
    height = 16 + size.overview + FUNNEL + STRIP + size.height + LABELS + CAPTION + 4
    assert height <= 580
    data, first = drawn(trace, size)
    assert min(fonts(heatmap(size, first, data))) >= LEAST_FONT
    assert first["cellfont"] >= LEAST_FONT
    assert first["insetfont"] >= LEAST_FONT
    assert sum(size.margins) + size.total + size.gap + size.legend <= (
        1006 if layout is wide else 378
    )


def test_a_prompt_that_fits_into_the_section_has_a_flat_overview():
    columns = wide(8).columns
    assert wide(8, columns).overview == narrow(8, 6).overview == 40
    assert wide(8, columns + 1).overview == wide(8).overview == 56


def test_a_telephones_caption_breaks_before_a_number_and_not_before_its_sign():
    caption = "Rehearsal at template tokens (layer 7: 100 %; placebo < 0.1 %)"
    wanted = "Rehearsal at template tokens (layer 7:\n100 %; placebo < 0.1 %)"
    assert in_lines(caption, narrow(8)) == wanted
    assert in_lines(caption, wide(8)) == caption


@pytest.mark.parametrize("word", ["certain", "one key", "B more certain"])
def test_the_legends_lower_words_are_lines_of_few_letters_on_a_telephone(word):
    lines = end_words(Scale(0.0, 2.0, ends=(word, "")), narrow(8))
    assert " ".join(row["text"] for row in lines) == word
    assert max(len(row["text"]) for row in lines) <= 9
    assert [row["text"] for row in end_words(Scale(0.0, 2.0, ends=(word, "")), wide(8))] == [word]


def test_of_many_rows_some_have_texts_and_labels_and_these_are_the_same():
    trace = synthetic(layers=62, window=False)
    size = wide(62)
    data, _ = drawn(trace, size)
    labelled = {row["yc"] for row in data["rows"]}
    assert labelled == {cell["yc"] for cell in data["cells"] if cell["text"]}
    assert max(labelled) == 61.5  # the last layer
    heights = np.diff(sorted(labelled)) * size.height / 62
    assert heights.min() >= 12


def test_cells_that_name_the_answers_first_token_are_marked():
    trace = synthetic((*CHAT, "Can", "berra"), generated=("Can", "berra"))
    trace.dataset.attrs["prompt"] = {"tokens": len(CHAT), "chat": True}
    trace.dataset["role"].values[-2:] = "generated"
    data, _ = drawn(trace, wide(6))
    named = [cell for cell in data["cells"] if cell.get("named")]
    assert named
    assert {cell["text"] for cell in named} == {"Can"}
    assert not any(cell["text"] == "Can" for cell in data["cells"] if not cell.get("named"))


@pytest.mark.parametrize("size", [narrow(6), wide(6)], ids=["narrow", "wide"])
@pytest.mark.parametrize("word", ["Canberra", "Reykjavik", "a", "Iliili"])
def test_bold_texts_leave_room_for_the_outline_of_their_cells(word, size):
    trace = synthetic((*CHAT, word), generated=(word,))
    trace.dataset.attrs["prompt"] = {"tokens": len(CHAT), "chat": True}
    trace.dataset["role"].values[-1:] = "generated"
    data, first = drawn(trace, size)
    drawing = vega.to_svg(heatmap(size, first, data))
    texts = re.findall(r"<text ([^>]*font-weight=.bold.[^>]*)>([^<]+)</text>", drawing)
    cells = {cell["text"] for cell in data["cells"] if cell.get("named")}
    assert cells <= {text for _, text in texts}
    for style, text in texts:
        if text in cells:
            font = float(re.search(r'font-size="([\d.]+)px"', style)[1])
            width = styled_widths([text], is_bold=True, has_signs=False)[text]
            assert width * font < size.section / (first["b"] - first["a"]) - 5
            assert font >= 7


def test_lines_cover_as_much_as_is_missing():
    layout = row_layout(None, 2)
    values = np.ones((2, 12))
    assert hatch(values, layout, 0, 4, 120, 60) == []
    values[:, :4] = np.nan
    values[1, 4:7] = np.nan
    (row,) = hatch(values, layout, 3, 4, 120, 60)
    assert (row["x0"], row["x1"], row["y0"], row["y1"]) == (3, 15, 0, 2)
    image = Image.open(io.BytesIO(base64.b64decode(row["url"].split(",")[1]))).convert("RGBA")
    covers = np.asarray(image)[..., 3] > 0
    assert covers[:, :36].mean() == pytest.approx(1 / PERIOD, abs=0.01)  # white lines on grey
    assert covers[:30, 42:78].mean() == pytest.approx(1 - 2 / PERIOD, abs=0.01)  # 1 of 4 read
    assert not covers[30:, 42:].any()
    assert not covers[:, 80:].any()


def test_one_position_in_32_leaves_thin_lines_of_colour():
    covers = lines(np.full((60, 60), 1 / 32))
    assert (covers == 0).mean() == pytest.approx(1 / PERIOD)


def test_the_title_says_how_many_positions_were_read_and_of_what_a_column_is_the_mean():
    trace = synthetic([f"w{i}" for i in range(4096)], ["content"] * 4096, layers=2, window=False)
    is_read = np.zeros(4096, bool)
    is_read[::32] = True
    trace.dataset["lens_entropy"].values[:, :, ~is_read] = np.nan
    data, _ = drawn(trace, wide(2))
    (title,) = data["overviewtitle"]
    assert title["text"].startswith(
        "128 of 4,096 positions read, every layer; a column is the mean"
    )
    assert "of those read among 32" in title["text"]
    assert len(data["overviewhatch"]) == 1


def test_the_histogram_counts_the_values_by_colour():
    scale = Scale(0.0, 2.0)
    rows = bars([np.array([0.0, 0.01, 2.0, 9.0, np.nan])], scale)
    assert [(row["y0"], row["share"]) for row in rows] == [(0, 1), (1 - 1 / BINS, 1)]
    assert bars([np.array([np.nan])], scale) == []
