"""The words of the section on the context: its result, and how to read its chart."""

from __future__ import annotations

from dataclasses import dataclass

from attentropy.engine.trace.dataset import Trace
from attentropy.report.figures.context_chart import lines_sentence
from attentropy.report.findings.context import BOUND, context_sentences, reach_words


@dataclass(frozen=True)
class ContextWords:
    """What the section on the context says: its result, the chart in words, and how to read it."""

    result: str
    chart: str
    notes: str


def context_words(trace: Trace) -> ContextWords | None:
    """Return the words of the section; None where the trace has no attention by distance."""
    use = trace.context_use()
    if use is None:
        return None
    chart = (
        "Share of attention by distance to the key, share that windows hold, and the window of "
        "each head; the tables have the windows"
    )
    notes = " ".join((lines_sentence(use), reach_words(use), BOUND))
    return ContextWords(" ".join(context_sentences(use)), chart, notes)
