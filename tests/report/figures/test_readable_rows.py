"""The rows of the figure: heights, marks and labels by how far their lens can be read."""

from __future__ import annotations

import re

import numpy as np
import pytest

import attentropy
from attentropy.engine.trace.lens_skill import LensSkill
from attentropy.report.figures import readable_rows
from attentropy.report.figures.heatmap_data import datasets, state
from attentropy.report.figures.placement import place
from attentropy.report.figures.readable_rows import row_labels, row_layout
from attentropy.report.figures.sizes import narrow, wide
from attentropy.report.palette import LIGHT
from attentropy.report.read.readability import GUESS, Readability
from attentropy.report.read.views import read_view
from skilled import MIXED, skilled
from traces import synthetic


def lens(*skills):
    values = np.array(skills, float)
    return Readability((LensSkill(values, np.clip(values, 0, 1), 20),))


def drawn(trace, size):
    view = read_view(trace, "lens")
    rows = [str(int(layer)) for layer in trace["layer"]]
    placed = place(trace, size.columns)
    return datasets(trace, size, placed, view, rows), state(trace, size, placed, view)


def test_rows_are_alike_without_skill_and_where_few_or_all_are_unreadable():
    for readability in (None, lens(-1, -1, -1, 1), lens(-1, -1, -1, -1)):
        layout = row_layout(readability, 4)
        assert layout.edges == [0, 1, 2, 3, 4]
        assert list(layout.runs()) == [(0, 4)]


def test_many_unreadable_rows_collapse_and_the_others_share_pictures():
    layout = row_layout(lens(*MIXED), 8)
    assert layout.edges == pytest.approx([0, 0.3, 0.6, 0.9, 1.2, 2.2, 3.2, 4.2, 5.2])
    assert list(layout.runs()) == [(4, 8)]
    assert [layout.is_thin(row) for row in range(8)] == [True] * 4 + [False] * 4


@pytest.mark.parametrize("size", [wide(8), narrow(8)])
def test_the_marks_lie_in_their_rows(size):
    data, first = drawn(skilled(), size)
    assert first["rowcount"] == pytest.approx(5.2)
    assert data["unread"] == [{"y0": 0, "y1": 1.2}]
    assert data["pale"] == [{"y0": 1.45, "y1": 2.2}, {"y0": 2.45, "y1": 3.2}]
    for name in ("specks", "overviewspecks"):
        assert data[name]
        assert all(0 < line["y"] < 1.2 for line in data[name])
    assert [round(bar["share"], 2) for bar in data["strip"]] == [0, 0, 0, 0, 0.1, 0.4, 0.7, 1]
    assert [tile["y0"] for tile in data["tile"]] == [1.2]
    thin = [cell for cell in data["cells"] if cell.get("thin")]
    assert {cell["y1"] for cell in thin} == {0.3, 0.6, 0.9, 1.2}
    assert all(cell["muted"] for cell in thin)


def test_a_note_stands_over_collapsed_rows_as_far_as_there_is_room():
    many = (*(-1.0,) * 24, *(1.0,) * 6)
    for size in (wide(30), narrow(30)):
        data, _ = drawn(skilled(many), size)
        (note,) = data["notes"]
        assert " ".join(note["text"].split("\n")) == f"layers 0–23: {GUESS}"
        assert max(map(len, note["text"].split("\n"))) * 6 <= size.section
    few = (*(-1.0,) * 4, *(1.0,) * 26)
    (note,) = drawn(skilled(few), narrow(30))[0]["notes"]
    assert note["text"] == "layers 0–3: skill ≤ 0"


def test_collapsed_rows_are_labelled_at_their_ends():
    layout = row_layout(lens(*(-1.0,) * 24, *(1.0,) * 6), 30)
    labels = [row["text"] for row in row_labels(layout, [str(i) for i in range(30)], wide(30))]
    assert labels == ["0", "23", "24", "25", "26", "27", "28", "29"]
    short = row_layout(lens(-1, -1, -1, -1, *(1.0,) * 26), 30)
    labels = [row["text"] for row in row_labels(short, [str(i) for i in range(30)], wide(30))]
    assert labels[:2] == ["0–3", "4"]


def test_a_trace_without_skill_and_attention_draw_as_before():
    bare = synthetic()
    bare = type(bare)(bare.dataset.drop_vars("lens_kl"))
    view = read_view(bare, "attention")
    assert view.readability is None
    data, first = drawn(bare, wide(6))
    assert first["rowcount"] == 6
    assert not any(data[name] for name in (*readable_rows.MARKS, "strip", "striptitle"))
    assert not any("muted" in cell or "pale" in cell for cell in data["cells"])


def test_the_embedded_model_is_unmarked():
    trace = attentropy.extract()
    data, _ = drawn(trace, wide(8))
    assert not any(data[name] for name in readable_rows.MARKS)
    assert len(data["strip"]) == 8
    assert min(bar["share"] for bar in data["strip"]) > 0.75
    (title,) = data["overviewtitle"]
    assert title["text"].endswith("; lens readable in all 8 layers (few positions: 11)")


def test_an_exported_figure_has_dots_of_its_own_and_can_go_without():
    trace = skilled()
    picture, plain = (
        attentropy.export(trace, "lens", lens_skill=lens_skill).data.decode()
        for lens_skill in (True, False)
    )
    dots = rf'stroke="{LIGHT["speck"]}"[^>]*stroke-dasharray'
    assert re.search(dots, picture)
    assert not re.search(dots, plain)
    for stat in ("lens_kl", "lens_rank"):  # these compare with the output themselves
        assert not re.search(dots, attentropy.export(trace, stat=stat).data.decode())
    assert re.search(dots, attentropy.export(trace, stat="probability").data.decode())
    assert "dotted: layers 0–3" in attentropy.export(trace).caption
    assert "dotted" not in attentropy.export(trace, lens_skill=False).caption


def test_the_table_of_an_exported_figure_has_the_skill_of_each_row():
    lines = attentropy.export(skilled(), "lens", "csv").data.decode().split("\r\n")
    assert lines[0].endswith(",lens skill")
    skills = {line.split(",")[1]: float(line.rsplit(",", 1)[1]) for line in lines[1:-1]}
    np.testing.assert_allclose(list(skills.values()), MIXED, atol=1e-5)
    difference = attentropy.compare(skilled(), skilled((0.9,) * 8, seed=1))
    head = attentropy.export(difference, "lens", "csv").data.decode().split("\r\n")[0]
    assert head.endswith(",lens skill in A,lens skill in B")
    assert "skill" not in attentropy.export(skilled(), "attention", "csv").data.decode()[:200]
