"""Findings about one trace, as sentences with their values, thresholds and numbers of cells."""

from __future__ import annotations

import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.lens_skill import lens_skill
from attentropy.report import planes
from attentropy.report.findings.attention import observe_attention
from attentropy.report.findings.context import observe_context
from attentropy.report.findings.finding import Observation, extremes
from attentropy.report.findings.looked import observe_looked
from attentropy.report.findings.rehearsal import observe_rehearsal, of_site
from attentropy.report.findings.settled import observe_settled
from attentropy.report.findings.sure import observe_sure
from attentropy.report.findings.tested import observe_tested
from attentropy.report.units import count


def observe(trace: Trace, attention: planes.AttentionPlanes | None = None) -> list[Observation]:
    """Return what stands out in a trace, and what was looked for and not found.

    With `attention` the entropies of all heads are not read again.
    """
    findings: list[Observation | None] = [
        observe_tested(trace),
        observe_looked(trace),
        observe_sure(trace),
    ]
    if "lens_entropy" in trace:
        findings.append(observe_settled(trace))
    findings.append(observe_rehearsal(trace))
    if "lens_entropy" in trace:
        findings.append(_lens_layers(trace))
    attention = attention or planes.read_attention(trace)
    if attention is not None:
        findings += observe_attention(trace, attention)
    findings.append(observe_context(trace))
    return [observation for observation in findings if observation is not None]


def _lens_layers(trace: Trace) -> Observation | None:
    """Return the layers with the lowest and the highest mean lens entropy.

    Of those whose lens is readable, where the trace says which these are.
    """
    values = trace.lens("lens_entropy", slice(trace.prompt_tokens))
    if not np.isfinite(values).any():
        return None
    values = np.where(np.isfinite(values), values, np.nan)
    rows = np.flatnonzero(np.isfinite(values).any(-1))
    skill, which = lens_skill(trace, trace.site), ""
    if skill is not None and not skill.is_readable[rows].all():
        rows, which = rows[skill.is_readable[rows]], " of the layers whose lens is readable"
    if not rows.size:
        return None
    means = np.array([np.nanmean(values[row]) for row in rows])
    low = int(rows[means.argmin()])
    n = int(np.isfinite(values).any(0).sum())
    text = (
        f"Mean lens entropy{of_site(trace)}{which} {extremes(trace, rows, means, ' nats', 2)}, "
        f"over {count(n, 'position')}."
    )
    return Observation("lens_layers", text, "lens_entropy", float(means.min()), n=n, layer=low)
