"""The figure `sources`, and the story with the tested verdict."""

import csv
import io

import pytest

import attentropy
from answers import answered
from attentropy.engine.errors import AttentropyError
from sourced import capital


def test_the_figure_has_each_decisive_word_with_its_parts():
    figure = attentropy.export(capital(), "sources", "svg")
    text = figure.data.decode()
    for part in ("“Canberra” 0.65", "capital", "Australia", "change of ln p when hidden (nats)"):
        assert part in text
    assert "“Canberra” (0.65) rests on “capital” (0.001 when hidden" in figure.caption
    assert "5th to 95th percentile" in figure.caption


def test_the_values_are_one_line_per_word_and_part():
    trace = capital()
    figure = attentropy.export(trace, "sources", "csv")
    lines = list(csv.DictReader(io.StringIO(figure.data.decode())))
    assert len(lines) == trace.sources.sizes["span"] * trace.sources.sizes["word"]
    own = [line for line in lines if line["word"] == "Canberra"]
    by_part = {line["part"]: line for line in own}
    assert by_part["capital"]["result"] == "source"
    assert float(by_part["capital"]["change with copies (nats)"]) == pytest.approx(-6.477, abs=1e-3)
    assert by_part["capital"]["change of its copies alone (nats)"] == ""  # not measured
    assert by_part["of"]["change with copies (nats)"] == ""  # not tested, and not zero


def test_the_story_has_the_tested_verdict():
    svg = attentropy.export(capital(), "story", "svg").data.decode()
    assert "rests on" in svg


def test_a_trace_without_tests_has_no_such_figure():
    with pytest.raises(AttentropyError, match="no tests of sources"):
        attentropy.export(answered(), "sources")
