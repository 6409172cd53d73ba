"""Figures of odd sizes: whole labels, scales, nothing drawn over another thing or left out."""

import itertools
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

import attentropy
from attentropy.report.export.fonts import name_sign_font
from attentropy.report.figures.tilemap_data import received_points
from attentropy.report.text import mark_whitespace
from long_traces import long
from traces import CHAT, synthetic

pytestmark = pytest.mark.costly

_TEXT = "{http://www.w3.org/2000/svg}text"
_LABELS = (
    "Attention weight (log scale)", "1", "0.1", "0.01", "0.001", "0.0001", "rows: queries",
    "columns: keys",
)  # fmt: skip


def _texts(data):
    return ["".join(text.itertext()) for text in ElementTree.fromstring(data).iter(_TEXT)]


@pytest.fixture(scope="module")
def trace():
    return synthetic()


@pytest.fixture(scope="module")
def many():
    """Return a trace of 45 tokens, all of which a section can show."""
    tokens = [*CHAT, *(f" word{i}" for i in range(28))]
    return synthetic(tokens, ["content"] * len(tokens), window=False)


@pytest.mark.parametrize("figure", ["lens", "attention"])
def test_a_wide_section_has_whole_tokens_below_it(many, figure):
    svg = attentropy.export(many, figure, section=(5, 45), caption=False).data
    texts = _texts(svg)
    for token in many.tokens[5:45]:
        assert mark_whitespace(token) in texts
    turned = [
        text for text in ElementTree.fromstring(svg).iter(_TEXT)
        if "rotate(270" in text.get("transform", "") and "".join(text.itertext()) != "layer"
    ]  # fmt: skip
    assert len(turned) == 40
    # Cells too narrow for a text have none, and the caption promises none.
    assert not [text for text in texts if re.fullmatch(r"\S?…", text)]
    assert "whose cells show" not in attentropy.export(many, figure, section=(5, 45)).caption


def test_a_section_with_room_has_its_labels_below_its_columns(many):
    svg = attentropy.export(many, "lens", section=(5, 12), caption=False).data.decode()
    assert svg.count("rotate(270") <= 1  # the word "layer"


@pytest.mark.parametrize("width", [67, 180])
def test_the_map_of_a_short_prompt_has_a_scale_and_its_labels_do_not_touch(many, width):
    tokens = [f" t{i}" for i in range(39)]
    trace = synthetic(tokens, ["content"] * len(tokens))
    svg = attentropy.export(trace, "map", width=width, caption=False).data
    root, texts = ElementTree.fromstring(svg), _texts(svg)
    for label in _LABELS:
        assert label in texts
    rows = [
        float(re.search(r"translate\(-6,([\d.]+)\)", text.get("transform", "translate(-6,0)"))[1])
        for text in root.iter(_TEXT)
        if "translate(-6," in text.get("transform", "")
    ]
    assert len(rows) > 8
    assert min(b - a for a, b in itertools.pairwise(sorted(rows))) >= 10


def test_a_strip_holds_only_the_points_of_its_region():
    trace = long(1500, layers=3, heads=3, read=400, window=32)
    svg = attentropy.export(trace, "map", section="-64:", width=67, caption=False).data.decode()
    points = received_points(trace, 0, 0)[0]
    assert len(points) > 100
    areas = re.findall(r'<path d="(M[^"]+)"[^>]*fill="#2c5fb3"', svg)
    assert len(areas) == 2
    lowest = [min(float(x) for x in re.findall(r"[ML](-?[\d.]+),", area)) for area in areas]
    assert min(lowest) > -200
    assert all(len(re.findall("[ML]", area)) > 2 for area in areas)


def test_no_axis_label_of_a_map_is_written_with_an_exponent_near_one():
    trace = long(1500, layers=3, heads=3, read=400, window=32)
    for width in (67, 180):
        texts = _texts(attentropy.export(trace, "map", width=width, caption=False).data)
        assert not [text for text in texts if re.search(r"\de[+-]?\d", text)]
        assert not [text for text in texts if text in ("10¹", "10⁻¹", "10⁻²", "10⁰")]


def test_an_empty_text_before_one_with_a_sign_leaves_the_picture_whole():
    picture = '<svg xmlns="http://www.w3.org/2000/svg"><text x="1"/><text x="2">a→b</text></svg>'
    named = ElementTree.fromstring(name_sign_font(picture))
    assert [text.get("font-family") is not None for text in named.iter(_TEXT)] == [False, True]


def test_a_comparison_with_cells_without_a_text_is_drawn():
    a, b = (synthetic(seed=seed, window=False) for seed in (0, 1))
    keys = a.dataset["top_key"].values.copy()
    keys[:, :, 3] = -1
    a = type(a)(a.dataset.assign(top_key=(a.dataset["top_key"].dims, keys)))
    for choices in ({}, {"layer": 1}):
        data = attentropy.export(attentropy.compare(a, b), "attention", "png", dpi=72, **choices)
        assert data.data


@pytest.mark.parametrize("width", [67, 180, 500])
def test_the_words_at_the_box_are_never_tiny(trace, width):
    comparison = attentropy.compare(trace, synthetic(seed=1))
    for shown in (trace, comparison):
        root = ElementTree.fromstring(attentropy.export(shown, "lens", width=width).data)
        sizes = [
            float(text.get("font-size").removesuffix("px"))
            for text in root.iter(_TEXT)
            if re.match("Rehearsal|Template", "".join(text.itertext())) and text.get("transform")
        ]
        assert sizes
        assert min(sizes) >= 7


@pytest.mark.slow
@pytest.mark.parametrize("layers", [30, 62])
def test_many_layers_have_row_labels_that_do_not_touch(layers):
    trace = synthetic(layers=layers, window=False)
    for width in (67, 180):
        root = ElementTree.fromstring(attentropy.export(trace, "attention", width=width).data)
        rows = sorted(
            float(re.search(r",([\d.]+)\)", text.get("transform"))[1])
            for text in root.iter(_TEXT)
            if re.match(r"translate\(-7,", text.get("transform", ""))
            and (text.text or "").isdigit()
            and (text.text or "").isdigit()
        )
        assert len(rows) > 8
        assert np.diff(rows).min() >= 8
