"""A report contains everything that its page shows, for one trace and for a comparison."""

from dataclasses import FrozenInstanceError, fields

import pytest

from attentropy.engine.errors import TraceError
from attentropy.engine.trace.dataset import Trace
from attentropy.report.compare.difference import compare
from attentropy.report.content.read_report import read_report
from attentropy.report.findings.compared import observe as observe_difference
from attentropy.report.findings.single import observe
from attentropy.report.page.page import render_page
from traces import CHAT, profiled, synthetic


@pytest.fixture(scope="module")
def trace():
    return synthetic()


@pytest.fixture(scope="module")
def report(trace):
    return read_report(trace, observe(trace))


@pytest.fixture(scope="module")
def difference(trace):
    return compare(trace, synthetic(seed=1), ("a", "b"))


def test_the_page_is_a_function_of_the_report(report, plain_page):
    assert render_page(report) == render_page(report) == plain_page


def test_the_page_reads_nothing_of_the_trace_but_the_values_it_packs(report, monkeypatch):
    reads = []
    item, lens = Trace.__getitem__, Trace.lens
    monkeypatch.setattr(Trace, "__getitem__", lambda t, name: reads.append(name) or item(t, name))
    monkeypatch.setattr(Trace, "lens", lambda t, *a, **k: reads.append(a[0]) or lens(t, *a, **k))
    monkeypatch.setattr("attentropy.report.page.page.pack_values", _no_values)
    with pytest.raises(NothingPackedError):
        render_page(report)
    assert reads == []


class NothingPackedError(Exception):
    """Everything except the values has been drawn."""


def _no_values(*_):
    raise NothingPackedError


def test_a_report_has_the_axes_and_views_of_its_trace(trace, report):
    assert report.axes.positions == len(CHAT)
    assert report.axes.layers == tuple("012345")
    assert [view.name for view in report.views] == ["lens", "attention"]
    assert report.views[0].caption.startswith("Top: logit-lens entropy")
    assert set(report.charts["figure"]) == {"wide", "narrow"}
    assert report.section_columns == {w: size.columns for w, size in report.sizes.items()}
    with pytest.raises(FrozenInstanceError):
        report.template = ""


def test_a_difference_differs_in_words_sections_and_room_and_has_every_finding(difference):
    report = read_report(difference, observe_difference(difference))
    assert report.template == "compare.html.j2"
    assert list(report.sections) == ["layers", "tables", "provenance"]
    assert len(report.highlights) + len(report.absent) == len(report.findings)
    assert len(report.axes.side_visible) == 2
    assert all(report.section_columns[w] < size.columns for w, size in report.sizes.items())
    assert "columns" in {field.name for field in fields(report.words)}


def test_a_profile_is_part_of_the_report_where_the_trace_has_one(report):
    assert report.profile is None
    profile = read_report(profiled(), []).profile
    assert set(profile.charts) == {"wide", "narrow"}
    assert profile.tables[0].title == "Cost of recording"


def test_a_trace_without_entropies_has_no_report(trace):
    bare = Trace(trace.dataset.drop_vars(list(trace.dataset.data_vars)))
    with pytest.raises(TraceError, match="nothing to show"):
        read_report(bare, [])
