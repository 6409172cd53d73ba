"""The figure `sources`: what hiding each part of the prompt does to the decisive words."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from attentropy.engine.errors import AttentropyError
from attentropy.engine.trace.dataset import Trace
from attentropy.report.content.source_words import source_sentences
from attentropy.report.export.choices import ExportChoices
from attentropy.report.export.csv_table import CsvTable, Line
from attentropy.report.export.figure_plan import FigurePlan, make_caption
from attentropy.report.figures.effects_chart import effects_chart
from attentropy.report.figures.specification import VegaLite
from attentropy.report.read.sources import read_sources
from attentropy.report.read.tested_words import Sources

_MARKS = (
    "Dot: hidden from the answer with its copies; ring: hidden alone; diamond: hidden from the "
    "prompt too. Grey bar: 5th to 95th percentile of random parts as long; outlined: the same for "
    "the diamond. Green: a source; purple: it works against the word."
)
_COLUMNS = (
    "word", "p", "part", "first position", "positions", "role", "result",
    "change with copies (nats)", "change alone (nats)", "change of its copies alone (nats)",
    "change in the prompt too (nats)", "change when removed (nats)",
    "control 5 % (nats)", "control 95 % (nats)",
    "control in the prompt too 5 % (nats)", "control in the prompt too 95 % (nats)", "draws",
    "change against the other text (nats)",
)  # fmt: skip


def plan(trace: Trace, choices: ExportChoices, pixels: int) -> FigurePlan:
    """Return the figure `sources`. Raises `AttentropyError` if nothing was tested."""
    sources = read_sources(trace)
    if sources is None:
        raise AttentropyError("the trace has no tests of sources; make it with `test_sources`")

    def draw(width: int) -> VegaLite:
        return effects_chart(sources, width)

    title, layers = "What the answer rests on", [str(int(n)) for n in trace["layer"]]
    caption = make_caption(trace, title, _MARKS, source_sentences(sources, layers))
    return FigurePlan(draw, title, caption, CsvTable(_COLUMNS, _lines(sources)))


def _lines(sources: Sources) -> Iterator[Line]:
    for word in sources.words:
        for one in word.effects:
            span = one.span
            values = (
                one.hidden, one.alone, one.copies, one.total, one.removed,
                one.low, one.high, one.total_low, one.total_high,
            )  # fmt: skip
            yield (
                word.text, word.probability, span.name, span.start, span.stop - span.start,
                span.role, one.label, *map(_finite, values), span.draws, _finite(span.versus),
            )  # fmt: skip


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
