"""The texts of a figure's cells stay within their cells, in every font size and script."""

import re

import numpy as np
import pytest

from attentropy.engine.trace.dataset import Trace
from attentropy.report.compare.difference import compare
from attentropy.report.export import entropy_figure
from attentropy.report.export.choices import check_choices
from attentropy.report.export.export import export
from attentropy.report.export.fonts import has_sign, widths
from attentropy.report.figures.sizes import fit_to_width
from traces import synthetic

WIDE = [
    "WWWWWWWWWWWW",
    "mmmmmmmmmmmmm",
    " MÆŒWMÆŒWM",
    "漢字漢字漢字漢字",
    "iiiiiiiiiiiiiiiiii",
    "@@@@@@@@@@@",
]


def _wide(shift):
    """Return a trace whose lens tokens and prompt are wide texts; `shift` turns them round."""
    trace = synthetic(layers=3, heads=2, window=False, seed=shift)

    def wide(name, dimension):
        texts = [WIDE[(i + shift) % len(WIDE)] for i in range(trace.dataset.sizes[dimension])]
        return {name: (dimension, np.array(texts, np.dtypes.StringDType()))}

    named = wide("vocabulary_text", "vocabulary")
    return Trace(trace.dataset.assign_coords(named | wide("token_text", "position")))


@pytest.fixture(scope="module")
def shown():
    a = _wide(0)
    texts = a.dataset["token_text"]
    other = Trace(_wide(1).dataset.assign_coords(token_text=texts))
    return {"trace": a, "comparison": compare(a, other)}


@pytest.mark.parametrize("pixels", [380, 802])
@pytest.mark.parametrize("figure", ["lens", "attention"])
@pytest.mark.parametrize("kind", ["trace", "comparison"])
def test_every_text_fits_its_cell(shown, kind, figure, pixels):
    trace = shown[kind]
    choices = check_choices(trace, figure, "light", {})
    chart = entropy_figure.plan(trace, choices, pixels).draw(pixels)
    values = {parameter["name"]: parameter["value"] for parameter in chart["params"]}
    size = fit_to_width(3, pixels)
    column = size.section / (values["b"] - values["a"])
    rooms = {"cells": column, "columns": column, "inset": size.inset}
    fonts = {"cells": "cellfont", "columns": "labelfont", "inset": "insetfont"}
    for part, font in fonts.items():
        if part == "inset" and kind == "trace" and figure == "attention":
            continue  # the inset has weights
        lines = [
            line
            for cell in chart["datasets"][part]
            for line in (cell["text"] if isinstance(cell["text"], list) else [cell["text"]])
        ]
        assert any(lines)
        assert max(widths(lines).values()) * values[font] < rooms[part]


def test_both_sides_of_a_pair_are_cut_and_neither_is_lost(shown):
    chart = entropy_figure.plan(
        shown["comparison"], check_choices(shown["comparison"], "lens", "light", {}), 802
    ).draw(802)
    pairs = [cell["text"] for cell in chart["datasets"]["cells"] if "→" in cell["text"]]
    assert pairs
    assert all(len(side) > 1 for pair in pairs for side in pair.split("→"))


def test_a_wide_letter_takes_more_room_than_a_narrow_one():
    measured = widths(["W", "i", "WW", "", "_The→_D"])
    assert measured["W"] > 2 * measured["i"] > 0
    assert measured["WW"] == pytest.approx(2 * measured["W"], rel=0.05)
    assert measured[""] == 0
    assert widths([]) == {}


@pytest.mark.parametrize("width", [85, 180])
def test_a_text_with_a_sign_names_a_font_that_has_it(shown, width):
    """The converter would draw the whole text in a serif or a bold font otherwise."""
    picture = export(shown["comparison"], "lens", width=width).data.decode()
    texts = re.findall(r"<text\b([^>]*)(?<!/)>(.*?)</text>", picture, re.S)
    assert any("→" in content for _, content in texts)
    for attributes, content in texts:
        assert ("DejaVu Sans', 'Liberation" in attributes) == has_sign(content)


@pytest.mark.parametrize("kind", ["trace", "comparison"])
def test_a_narrow_figures_legend_keeps_its_unit_out_of_the_section(shown, kind):
    title = {"trace": "Entropy", "comparison": "B − A"}[kind]
    narrow, wide = (
        export(shown[kind], "lens", width=width).data.decode().split("</desc>")[1]
        for width in (85, 180)
    )
    assert f">{title} (nats)<" in wide
    assert f"{title} (nats)" not in narrow
    assert f">{title}<" in narrow
    assert ">(nats)<" in narrow
