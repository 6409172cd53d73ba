"""A layer without attention, or without a head, is named with its reason where it is chosen."""

import numpy as np
import pytest

import attentropy
from attentropy.engine.errors import UsageError
from attentropy.engine.trace.dataset import Trace
from attentropy.report.cli import main
from attentropy.report.compare.difference import compare
from attentropy.report.content.read_report import read_report
from attentropy.report.findings.single import observe
from attentropy.report.page.page import render
from attentropy.report.read.attention_layers import (
    attention_entries,
    layers_without_attention,
    recorded_heads,
    why_no_attention,
)
from hybrids import MAMBA, hybrid, sliding, smallest

COUNTS = (0, 3, 0, 2, 3, 0)


@pytest.fixture(scope="module")
def trace():
    return hybrid(COUNTS)


def test_what_each_layer_has(trace):
    assert [recorded_heads(trace, i) for i in range(6)] == [
        [],
        [0, 1, 2],
        [],
        [0, 1],
        [0, 1, 2],
        [],
    ]
    assert why_no_attention(trace, 0) == f"layer 0: {MAMBA}"
    assert why_no_attention(trace, 3) == ""
    assert why_no_attention(trace, 3, 2) == "layer 3 has no head 2 (it has 2 heads)"
    assert attention_entries(trace) == [1, 3, 4]
    assert attention_entries(trace, 2) == [1, 4]
    assert layers_without_attention(trace) == f"No values in layers 0, 2, 5: {MAMBA}."


def test_heads_that_were_selected_are_counted_by_their_numbers(trace):
    part = Trace(trace.dataset.isel(head=[0, 2], window_head=[0, 2]))
    assert [recorded_heads(part, i) for i in range(6)] == [[], [0, 2], [], [0], [0, 2], []]
    mean = Trace(trace.dataset.isel(head=[0]).assign_coords(head=np.array([-1], np.int32)))
    assert [len(recorded_heads(mean, i)) for i in range(6)] == [0, 1, 0, 1, 1, 0]


@pytest.mark.parametrize(
    ("figure", "choices", "words"),
    [
        ("attention", {"layer": 0}, f"`layer`: layer 0: {MAMBA}; layers with attention: 1, 3, 4"),
        ("attention", {"layer": 5, "head": 1}, f"`layer`: layer 5: {MAMBA}"),
        ("attention", {"layer": 3, "head": 2}, "`layer`: layer 3 has no head 2"),
        ("map", {"layer": 2}, f"`layer`: layer 2: {MAMBA}"),
        ("map", {"layer": 3, "head": 2}, "`layer`: layer 3 has no head 2"),
    ],
)
def test_a_figure_of_a_layer_without_attention_is_refused_with_the_reason(
    trace, figure, choices, words
):
    with pytest.raises(UsageError) as error:
        attentropy.export(trace, figure, "csv", **choices)
    assert words in str(error.value)


def test_the_command_says_it_in_one_line(trace, tmp_path, capsys):
    path = trace.save(tmp_path / "t.zarr.zip")
    arguments = ["export", str(path), "--figure", "attention", "--layer", "2"]
    assert main([*arguments, "-o", str(tmp_path / "f.csv")]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(f"error: --layer: layer 2: {MAMBA}")
    assert not (tmp_path / "f.csv").exists()


@pytest.mark.costly
def test_a_figure_that_names_no_layer_shows_one_that_has_attention(trace):
    assert "layer 1" in attentropy.export(trace, "map", "csv").caption
    caption = attentropy.export(trace, "attention", "csv").caption
    assert "exact attention weights in layer 1" in caption
    assert "in layer 1 (head 2)" in attentropy.export(trace, "attention", "csv", head=2).caption


@pytest.mark.costly
def test_the_page_names_the_layers_and_their_reason(trace):
    page = render(trace, observe(trace))
    assert f"No values in layers 0, 2, 5: {MAMBA}." in page
    axes = read_report(trace, observe(trace)).axes
    assert axes.head_counts == COUNTS


@pytest.mark.costly
@pytest.mark.parametrize(
    "make", [smallest, sliding, lambda: hybrid((0, 0, 1)), lambda: hybrid((1,))]
)
def test_a_trace_of_one_token_or_with_few_layers_gives_a_page(make):
    own = make()
    assert "<html" in render(own, observe(own))


def test_a_comparison_says_which_side_has_no_attention():
    one, other = hybrid((3, 0, 2), seed=1), hybrid((3, 3, 0), seed=2)
    difference = compare(one, other, ("a", "b"))
    assert [str(note) for note in difference["attention_note"]] == [
        "",
        f"A: {MAMBA}",
        f"B: {MAMBA}",
    ]
    assert [recorded_heads(difference, i) for i in range(3)] == [[0, 1, 2], [], []]
    same = compare(one, hybrid((3, 0, 2), seed=3), ("a", "b"))
    assert [str(note) for note in same["attention_note"]] == ["", MAMBA, ""]
    assert why_no_attention(same, 1) == f"layer 1: {MAMBA}"
