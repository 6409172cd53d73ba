"""The findings of a trace, or of the comparison of two."""

from __future__ import annotations

from attentropy.engine.trace.dataset import Trace
from attentropy.report import planes
from attentropy.report.compare.difference import Difference
from attentropy.report.findings import compared, single
from attentropy.report.findings.finding import Observation


def observe(trace: Trace, attention: planes.AttentionPlanes | None = None) -> list[Observation]:
    """Return what a trace shows, or what differs between the two of a comparison.

    With `attention` the entropies of all heads of a trace are not read again.
    """
    if isinstance(trace, Difference):
        return compared.observe(trace)
    return single.observe(trace, attention)
