"""The findings of a trace, or of the comparison of two."""

from __future__ import annotations

from collections.abc import Sequence

from attentropy.engine.trace.dataset import Trace
from attentropy.report import planes
from attentropy.report.compare.difference import Difference
from attentropy.report.findings import compared, single
from attentropy.report.findings.finding import Observation
from attentropy.report.findings.reference import observe_reference


def observe(
    trace: Trace,
    attention: planes.AttentionPlanes | None = None,
    references: Sequence[Trace] = (),
) -> list[Observation]:
    """Return what a trace shows, or what differs between the two of a comparison.

    With `attention` the entropies of all heads of a trace are not read again. references: traces
    of the same model, in place of the trace's own placebo questions.
    """
    if isinstance(trace, Difference):
        return compared.observe(trace)
    findings = single.observe(trace, attention)
    return findings + observe_reference(trace, attention, references)
