"""The place that a finding names holds the value that its sentence is about."""

import numpy as np
import pytest

from answers import answered
from attentropy.engine.trace.lens_skill import lens_skill
from attentropy.report import planes
from attentropy.report.compare.difference import compare
from attentropy.report.content.read_report import read_report
from attentropy.report.findings.observations import observe
from attentropy.report.findings.side_means import by_head, by_layer
from skilled import skilled
from traces import synthetic


def _row(trace, name, finding):
    """Return the values of a lens variable at a finding's layer and position."""
    at = slice(finding.position, finding.position + 1)
    return trace.lens(name, at)[finding.layer, 0]


def _focus(trace, finding):
    """Return the mean normalized entropy of a finding's head, or of all."""
    read = planes.read_attention(trace)
    sums, counts = read.focus_sum, read.focus_count
    if finding.layer is None:
        return sums.sum() / counts.sum()
    head = trace["head"].tolist().index(finding.head)
    return sums[finding.layer, head] / counts[finding.layer, head]


def _received(trace, finding):
    """Return the share of a layer's attention that a key receives."""
    queries = trace.prompt_tokens - finding.position
    return trace["received"][finding.layer, :, finding.position].mean() / queries


def _attended(trace, finding):
    head = trace["head"].tolist().index(finding.head)
    return trace["max_prob"][finding.layer, head, finding.position]


def _lens_mean(trace, finding):
    return np.nanmean(trace.lens("lens_entropy", slice(trace.prompt_tokens))[finding.layer])


VALUES = {
    "looked": _attended,
    "sure": lambda trace, finding: _row(trace, "lens_entropy", finding),
    "settled": lambda trace, finding: trace["layer"][finding.layer],
    "rehearsal": lambda trace, finding: np.exp(_row(trace, "rehearsal", finding)),
    "lens_layers": _lens_mean,
    "heads": _focus,
    "range": _focus,
    "sinks": _received,
    "reference_lens": lambda trace, finding: _row(trace, "lens_entropy", finding),
}


@pytest.mark.parametrize("make", [synthetic, answered, skilled])
@pytest.mark.parametrize("seed", range(3))
def test_a_findings_place_has_its_value(make, seed):
    trace = make(seed=seed)
    report = read_report(trace, observe(trace))
    shown = {view.name: {one.name for one in view.statistics} for view in report.views}
    for line in (*report.highlights, *report.absent):
        finding = report.findings[line.index]
        assert finding.view in shown
        assert finding.shows in shown[finding.view] | {""}
        if line.is_shown and finding.id in VALUES and finding.is_found:
            assert VALUES[finding.id](trace, finding) == pytest.approx(finding.value, rel=1e-5)
    names = {report.findings[line.index].id for line in report.highlights}
    assert names >= {"settled", "heads", "range"}
    assert lens_skill(trace) is not None


def test_a_comparisons_place_has_its_value():
    difference = compare(synthetic(), synthetic(seed=1))
    findings = {one.id: one for one in observe(difference)}
    change = by_layer(difference, "lens").change
    assert change[findings["lens_change"].layer] == pytest.approx(findings["lens_change"].value)
    head = difference["head"].tolist().index(findings["heads"].head)
    heads = by_head(difference)[0].change
    assert heads[findings["heads"].layer, head] == pytest.approx(findings["heads"].value)
