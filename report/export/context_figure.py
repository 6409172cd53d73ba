"""The figure `context`: how far back the heads attend, and the window that each of them needs."""

from __future__ import annotations

from collections.abc import Iterator

from attentropy.engine.errors import AttentropyError
from attentropy.engine.trace.context import ContextUse
from attentropy.engine.trace.dataset import Trace
from attentropy.report.content.context_tables import head_windows
from attentropy.report.export.choices import ExportChoices
from attentropy.report.export.csv_table import CsvTable, Line
from attentropy.report.export.figure_plan import FigurePlan, make_caption
from attentropy.report.figures.context_chart import context_chart, lines_sentence
from attentropy.report.figures.specification import VegaLite
from attentropy.report.findings.context import BOUND, context_sentences, reach_words

_COLUMNS = (
    "layer", "head", "window for 95 % (tokens)", "queries that see further (95 %)",
    "window for 99 % (tokens)", "queries that see further (99 %)", "keys that a query sees",
    "first four tokens",
)  # fmt: skip


def plan(trace: Trace, choices: ExportChoices, pixels: int) -> FigurePlan:
    """Return the figure `context`. Raises `AttentropyError` if it was not measured."""
    use = trace.context_use()
    if use is None:
        raise AttentropyError("the trace has no attention by distance; extract it with `context`")
    labels = [str(int(layer)) for layer in use.layers]

    def draw(width: int) -> VegaLite:
        return context_chart(use, labels, width)

    title = "How far back the heads attend"
    sentences = (*context_sentences(use), BOUND, reach_words(use), lines_sentence(use))
    columns = (*_COLUMNS, *(f"distance {start} or more" for start in use.bins[1:]))
    caption = make_caption(trace, title, *sentences)
    return FigurePlan(draw, title, caption, CsvTable(columns, _lines(use)))


def _lines(use: ContextUse) -> Iterator[Line]:
    """Yield a line per head, the largest window first, with its share of attention in each bin."""
    for one in head_windows(use):
        (near, far), (beyond_near, beyond_far) = one.windows, one.beyond
        yield (
            one.layer, one.head, near, beyond_near, far, beyond_far, one.limit,
            *use.mass[one.entry, one.head],
        )  # fmt: skip
