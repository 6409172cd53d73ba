"""The page orders findings, averages each layer, and gives its charts as tables too."""

import math
import re

import numpy as np
import pytest

from attentropy.report import planes
from attentropy.report.content import tables
from attentropy.report.content.finding_line import numbers
from attentropy.report.content.sections import trace_sections
from attentropy.report.findings.finding import Observation
from attentropy.report.findings.highlights import MOST, absent, highlights
from attentropy.report.findings.single import observe
from attentropy.report.page.page import render
from attentropy.report.read.curves import attention_curves, lens_curves
from attentropy.report.read.views import read_view
from long_traces import long
from traces import CHAT, synthetic


def _finding(id, value=None, threshold=None, is_found=True, where="attention"):
    return Observation(id, id, id, value, "share", threshold, 8, is_found, where)


def test_what_explains_the_answer_comes_first_whatever_its_value():
    names = ("range", "heads", "sinks", "settled", "sure", "rehearsal", "looked")
    findings = [_finding(name, 0.9 - i / 10, 0.1) for i, name in enumerate(names)]
    shown = [findings[i].id for i in highlights(findings)]
    assert shown == ["looked", "sure", "settled", "rehearsal", "sinks", "heads", "range"]
    assert len(highlights(findings * 2)) == MOST


def test_what_was_not_found_is_folded_and_where_the_lens_settles_late_is_told():
    findings = [
        _finding("sinks", 0.1, 0.4, False), _finding("rehearsal", None, 0.05, False),
        _finding("settled", 5.0, None, False),
    ]  # fmt: skip
    assert highlights(findings) == [2]
    assert absent(findings) == [0, 1]
    assert highlights([]) == absent([]) == []


def test_a_finding_gives_statistic_value_threshold_and_n():
    assert numbers(_finding("x", 0.25, 0.1)) == "x = 0.25; threshold 0.1; n = 8"
    assert numbers(_finding("x", 0.25)) == "x = 0.25; no threshold; n = 8"
    assert numbers(_finding("x", None, 0.1)) == "x: not measured; threshold 0.1; n = 8"


def test_every_finding_is_on_the_page_once():
    trace = synthetic()
    findings = observe(trace)
    page = render(trace, findings)
    shown = sorted(int(i) for i in re.findall(r'data-finding="(\d+)"', page))
    assert shown == [i for i, o in enumerate(findings) if o.is_found or o.value is not None]
    first = page[page.index('class="told"') : page.index('class="parts"')]
    assert first.count("data-finding") == len(shown)
    folded = first[first.index('class="absent"') :]
    for i in absent(findings):
        assert f"<h3>{findings[i].title}</h3>" in folded


def test_the_lens_by_layer_has_its_skill_and_agreement():
    trace = synthetic()
    curves = {curve.name: curve for curve in lens_curves(trace)}
    assert list(curves) == ["lens_entropy", "lens_skill", "lens_agreement", "lens_kl"]
    lens = trace.lens_skill()
    np.testing.assert_array_equal(curves["lens_skill"].mean, lens.skill)
    np.testing.assert_array_equal(curves["lens_agreement"].mean, lens.agreement)
    np.testing.assert_array_equal(curves["lens_skill"].uniform, np.zeros(6))


def test_the_lens_by_layer_is_mean_quartiles_and_what_the_model_predicts():
    trace = synthetic()
    trace.dataset.attrs["model"] = {**trace.attrs["model"], "vocabulary": None}  # so no skill
    trace.dataset["lens_entropy"].values[0, :, 3] = np.nan
    trace.dataset["lens_rank"].values[0, 2, 5:9] = 7
    entropy, predicted, kl = lens_curves(trace)
    read = np.delete(trace["lens_entropy"][0].astype(np.float64), 3, axis=1)
    np.testing.assert_allclose(entropy.mean, read.mean(1))
    np.testing.assert_allclose(entropy.low, np.quantile(read, 0.25, axis=1), rtol=1e-6)
    np.testing.assert_allclose(entropy.high, np.quantile(read, 0.75, axis=1), rtol=1e-6)
    np.testing.assert_allclose(predicted.mean, [1, 1, 12 / 16, 1, 1, 1])
    np.testing.assert_allclose(kl.mean, trace["lens_kl"][0].mean(-1, dtype=np.float64))


def test_attention_by_layer_is_over_all_heads_and_beside_a_uniform_row():
    trace = synthetic()
    trace.dataset["entropy"].values[1] = np.nan
    curves = {curve.name: curve for curve in attention_curves(trace)}
    assert list(curves) == ["entropy", "normalized_entropy", "sink_mass", "max_prob", "distance"]
    visible = np.arange(len(CHAT)) + 1.0
    values = trace["entropy"].astype(np.float64)
    np.testing.assert_allclose(curves["entropy"].mean[[0, 5]], values[[0, 5]].mean((1, 2)))
    assert math.isnan(curves["entropy"].mean[1])
    np.testing.assert_allclose(curves["entropy"].low[0], values[0].mean(-1).min())
    share = values[0, :, 1:] / np.log(visible[1:])
    np.testing.assert_allclose(curves["normalized_entropy"].mean[0], share.mean(), rtol=1e-6)
    np.testing.assert_allclose(curves["entropy"].uniform[0], np.log(visible).mean())
    np.testing.assert_allclose(curves["sink_mass"].uniform[2], np.minimum(1, 4 / visible).mean())
    np.testing.assert_allclose(curves["distance"].uniform[2], ((visible - 1) / 2).mean())


def test_what_a_trace_does_not_hold_has_no_panel_and_no_section():
    trace = synthetic()
    bare = type(trace)(trace.dataset.drop_vars(["sink_mass", "distance", "lens_kl", "lens_rank"]))
    assert [c.name for c in lens_curves(bare)] == ["lens_entropy"]
    assert [c.name for c in attention_curves(bare)][-1] == "max_prob"
    sections = trace_sections(
        trace, [], None, [read_view(trace, "lens")], list("012345"), (5, 17), []
    )
    assert "profile" not in sections
    assert "heads" not in sections


def test_the_sections_table_holds_its_values_and_texts():
    trace = synthetic()
    trace.dataset["lens_entropy"].values[0, 5, 16] = np.nan
    lens = read_view(trace, "lens")
    table = tables.of_section(lens, list("012345"), 5, 17)
    assert [row[0] for row in table.rows] == list("543210")
    assert table.rows[0][-2] is None
    assert table.rows[1][1] == f"{trace.lens_skill().skill[4]:.4g}"
    assert table.rows[1][2] == f"{trace['lens_entropy'][0, 4, 5]:.4g}"
    assert table.rows[1][3] == lens.texts(5, 6, 14)[4][0]
    assert sum(columns for _, columns in table.groups) == len(table.columns)


def test_tables_of_a_long_trace_are_bounded_and_true():
    trace = long(9000, layers=6, heads=30, read=300)
    attention = planes.read_attention(trace)
    rows = list("012345")
    spread = tables.of_spread(trace, attention, 0, "0")
    assert 32 <= len(spread.rows) <= 64
    first, last = (int(p) for p in spread.rows[3][0].split(" to "))
    part = trace["entropy"][0, :, first : last + 1]
    assert float(spread.rows[3][1]) == pytest.approx(part.mean(), rel=2e-3)
    heads = tables.of_heads(trace, ["entropy", "sink"], rows)
    assert len(heads.rows) == 129  # 128 heads and the uniform row
    assert "128 heads (of 180)" in heads.title
    largest = tables.of_map(trace, "0").rows[0]
    assert float(largest[2]) == pytest.approx(trace["map"][0, 0].max(), rel=1e-3)
    received = tables.of_received(trace, "0").rows[0]
    assert int(received[0]) == trace["received"][0, 0].argmax()
    window = tables.of_window(trace, "0")
    assert len(window.rows) == 24
    expected = trace["window"][0, 0, -1, -1]
    assert float(window.rows[-1][-1]) == pytest.approx(expected, rel=1e-3)
