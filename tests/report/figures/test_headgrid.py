"""The grid of all heads: its sizes, its pictures and its labels, as a page opens."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from attentropy.engine.run.extract import extract
from attentropy.engine.trace.dataset import Trace
from attentropy.report import palette
from attentropy.report.figures.headgrid import card_size, section_size
from attentropy.report.figures.headgrid_data import first_grid, resize, shorten
from attentropy.report.findings.head_roles import head_roles
from attentropy.report.scale import SHARES, Scale
from pictured import random_masses, with_thumbnails, without_thumbnails
from traces import synthetic

NATS = Scale(0, 4, "nats")


def with_scores(trace, scores):
    """Return the trace with induction scores [layer, head] alone."""
    own = [name for name in trace.dataset if str(name).startswith(("head_", "uniform_"))]
    numbers = np.arange(scores.shape[1], dtype=np.int32)
    scored = {"head_induction": (("layer", "score_head"), scores.astype(np.float32))}
    dataset = trace.dataset.drop_vars(own).assign(scored).assign_coords(score_head=numbers)
    return Trace(dataset)


@pytest.fixture(scope="module")
def demo():
    return extract(device="cpu")


def _grid(trace, size=None, **how):
    layers, heads = head_roles(trace).kinds.shape
    rows = [str(i) for i in range(layers)]
    return first_grid(trace, size or card_size(layers, heads), rows, NATS, **how)


def _pixels(chart):
    (row,) = chart["datasets"]["sprite"]
    image = Image.open(io.BytesIO(base64.b64decode(row["url"].partition(",")[2])))
    return np.asarray(image.convert("RGBA")).astype(int)


@pytest.mark.parametrize(
    ("layers", "heads"), [(8, 4), (30, 9), (32, 32), (1, 1), (126, 128), (2, 40_000), (3_000, 2)]
)
def test_the_grid_of_the_first_screen_fits_into_its_card(layers, heads):
    size = card_size(layers, heads)
    assert size.width <= 262
    assert size.height <= 306
    assert all(0 < own <= room for own, room in zip(size.picture, size.cell, strict=True))
    large = section_size(layers, heads, narrow=False)
    assert large.width <= 660
    assert large.height <= 870
    assert section_size(layers, heads, narrow=True).width <= 310


def test_heads_without_a_pixel_of_their_own_have_a_picture_and_no_frames():
    trace = with_scores(synthetic(layers=2), np.full((2, 5_000), 0.9))
    for size in (card_size(2, 5_000), section_size(2, 5_000, narrow=True)):
        chart = _grid(trace, size)
        assert chart["datasets"]["frames"] == []
        assert min(_pixels(chart).shape[:2]) >= 2


def test_text_stands_where_there_is_room_for_it():
    assert card_size(8, 4).text == "below"
    assert card_size(30, 9).text == ""
    assert card_size(32, 32).text == section_size(32, 32, narrow=False).text == ""
    smollm = section_size(30, 9, narrow=False)
    assert smollm.text == "right"
    assert 24 <= smollm.picture[0] <= 28
    assert smollm.letters >= len("induction")


def test_labels_of_the_embedded_model_are_not_cut(demo):
    for size in (card_size(8, 4), section_size(8, 4, narrow=False)):
        data = _grid(demo, size)["datasets"]
        labels = [row["text"] for row in data["labels"]]
        assert "→ capital" in labels
        assert "→ Australia" in labels
        assert not [text for text in labels if "…" in text]
        assert len(data["numbers"]) == len(data["frames"]) == 32
        assert data["numbers"][0]["text"] == f"{demo['head_entropy'][0, 0]:.2f}"


def test_rows_stand_where_their_heads_are(demo):
    size = card_size(8, 4)
    data = _grid(demo, size)["datasets"]
    kinds = head_roles(demo).kinds
    for row in data["frames"]:
        assert 0 <= row["x0"] < row["x1"] <= 4
        assert row["y1"] == int(row["y1"])  # the upper edge of its layer
    assert sum(bool(row["kind"]) for row in data["frames"]) == (kinds > 0).sum()
    assert [row["text"] for row in data["layerlabels"]] == [str(i) for i in range(8)]


def test_a_picture_has_the_colours_of_its_masses():
    masses = random_masses(6, 3, 17)
    trace = with_thumbnails(_scored(), masses)
    size = section_size(6, 3, narrow=False)
    pixels = _pixels(_grid(trace, size))
    side = round(size.picture[0])
    for layer, head in ((0, 0), (5, 2), (3, 1)):
        top, left = round((5 - layer) * size.cell[1]), round(head * size.cell[0])
        for q, k in ((0, 0), (16, 3), (9, 16)):
            y, x = (round((at + 0.5) * side / 17) for at in (q, k))
            expected = palette.colors(np.sqrt(masses[layer, head, q, k]), 0, 1, "weight")
            assert np.abs(pixels[top + y, left + x, :3] - expected).max() <= 3
    gap = pixels[:, round(size.picture[0]) + 3]
    assert not gap[:, 3].any()  # transparent between the heads


def test_a_pixel_of_several_tiles_has_their_largest():
    diagonal = np.eye(32)
    for pixels in (7, 9, 16, 26, 31):
        small = resize(diagonal, pixels, pixels)
        assert small.shape == (pixels, pixels)
        assert (np.diagonal(small) == 1).all()
    large = resize(diagonal, 64, 96)
    np.testing.assert_array_equal(large, np.kron(diagonal, np.ones((2, 3))))
    assert resize(np.zeros((2, 3, 32, 32)), 5, 40).shape == (2, 3, 5, 40)


def test_a_trace_without_thumbnails_has_cells_in_the_colour_of_the_score(demo):
    trace = without_thumbnails(demo)
    size = card_size(8, 4)
    chart = _grid(trace, size)
    pixels = _pixels(chart)
    expected = palette.colors(demo["head_entropy"][7, 0], 0, 4)
    assert np.abs(pixels[10, 10, :3] - expected).max() <= 3
    assert len(chart["datasets"]["labels"]) == (head_roles(demo).kinds > 0).sum()


def test_heads_that_a_layer_does_not_have_are_left_out():
    trace = with_thumbnails(_scored())
    trace.dataset["thumbnail"].values[2, 1] = 0
    trace.dataset["head_entropy"].values[2, 1] = np.nan
    data = _grid(trace)["datasets"]
    assert len(data["frames"]) == len(data["numbers"]) == 17


def test_a_label_that_is_too_long_is_cut_at_its_end():
    assert shorten("→ Australia", 11) == "→ Australia"
    assert shorten("→ Australia", 8) == "→ Austr…"
    assert shorten("sink", 1) == "s…"


def test_scores_of_shares_have_the_sequential_colours():
    trace = _scored("sink")
    pixels = _pixels(first_grid(trace, card_size(6, 3), list("012345"), SHARES))
    expected = palette.colors(trace["head_sink"][5, 0], 0, 1, "weight")
    assert np.abs(pixels[10, 10, :3] - expected).max() <= 3


def _scored(*names):
    """Return a trace of 6 × 3 heads with random scores."""
    random = np.random.default_rng(0)
    scores = {
        f"head_{name}": (("layer", "score_head"), random.random((6, 3)).astype(np.float32))
        for name in names or ("entropy",)
    }
    trace = synthetic()
    dataset = trace.dataset.assign(scores).assign_coords(score_head=np.arange(3, dtype=np.int32))
    return type(trace)(dataset)
