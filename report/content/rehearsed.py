"""What a tooltip says of a token of the answer at a template token: both probabilities."""

from __future__ import annotations

import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.report.compare.difference import Difference
from attentropy.report.findings.finding import quoted
from attentropy.report.findings.rehearsal import at_most
from attentropy.report.units import percent

_MOST_POSITIONS = 1024  # the last of the template: a chat's has some ten
_LEAST = 0.001  # probability of a token that a tooltip names: a tenth of a percent


def rehearsal_lines(trace: Trace) -> dict[str, dict[str, str]]:
    """Return a line for each cell of the lens that shows a later token of the answer.

    By position and then by entry along `layer`, both as texts. The line has the placebo's
    probability too, or says that none was read.
    """
    dummies = trace.dummy_positions()[-_MOST_POSITIONS:]
    if isinstance(trace, Difference) or "rehearsal" not in trace or not dummies.size:
        return {}
    span = slice(int(dummies[0]), int(dummies[-1]) + 1)
    own, ids, ranks = (trace.lens(f"rehearsal{end}", span) for end in ("", "_ids", "_rank"))
    placebo = np.full(own.shape, np.nan)
    if "rehearsal_placebo" in trace:
        placebo = trace.lens("rehearsal_placebo", span)
    lines: dict[str, dict[str, str]] = {}
    with np.errstate(over="ignore"):  # of a stranger's trace
        own, placebo = (np.exp(values.astype(np.float64)) for values in (own, placebo))
    for column, entry in np.argwhere((own >= _LEAST).T):
        position = str(span.start + int(column))
        [text] = trace.text_of([ids[entry, column]])
        control = "no placebo question was read"
        if np.isfinite(placebo[entry, column]):
            control = f"after placebo questions {at_most(float(placebo[entry, column]))}"
        lines.setdefault(position, {})[str(entry)] = (
            f"later in the answer: {quoted(text)} {percent(float(own[entry, column]))} "
            f"(rank {int(ranks[entry, column]) + 1:,}), {control}"
        )
    return lines
