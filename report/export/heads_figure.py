"""The figure `heads`: one score of every head, next to the score of a uniform row."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from attentropy.engine.errors import AttentropyError, UsageError
from attentropy.engine.trace.dataset import Trace
from attentropy.report.export.choices import ExportChoices
from attentropy.report.export.csv_table import CsvTable, Line
from attentropy.report.export.figure_plan import FigurePlan, colour_sentence, make_caption
from attentropy.report.figures import roster
from attentropy.report.figures.sizes import LIVE_CELLS, SLIM
from attentropy.report.figures.specification import VegaLite
from attentropy.report.findings.scored_heads import model_heads
from attentropy.report.findings.single import observe
from attentropy.report.read import views
from attentropy.report.read.maps import SCORES, score_names, score_threshold
from attentropy.report.scale import SHARES

_WEIGHT_COLOURS = "Colour: white 0, mid-blue 0.5, dark blue 1; grey: missing."


def plan(trace: Trace, choices: ExportChoices, pixels: int) -> FigurePlan:
    """Return the figure `heads`. Raises `AttentropyError` if the trace has no scores of heads."""
    names = score_names(trace)
    if not names:
        raise AttentropyError("the trace has no head scores; extract it with `scores=True`")
    name = choices.score or names[0]
    rows = [str(int(layer)) for layer in trace["layer"]]
    scale = (
        views.entropy_scale(trace, "attention", choices.range)
        if name.endswith("entropy")
        else SHARES
    )
    if choices.range and not name.endswith("entropy"):
        raise UsageError(f"`range` applies to the score entropy only; {name} is always 0 to 1")

    def draw(width: int) -> VegaLite:
        layers, heads = trace[f"head_{name}"].shape
        size = max(80, width - 150), roster.pixels(layers, heads, False)[1]
        return roster.roster_of(trace, name, rows, width < SLIM, scale, size, complete=True)

    colours = _WEIGHT_COLOURS
    if name.endswith("entropy"):
        colours = colour_sentence(scale, choices.palette)
    title = "Scores of the attention heads"
    caption = make_caption(
        trace, title, f"{SCORES[name].capitalize()}, one cell per head.", colours,
        _marks_sentence(trace, name), _finding(trace, name),
    )  # fmt: skip
    columns = ("layer", "head", _column_name(name), "threshold", "uniform attention")
    return FigurePlan(draw, title, caption, CsvTable(columns, _lines(trace, name)))


def _column_name(name: str) -> str:
    return "entropy (nats)" if name == "entropy" else f"{name} (share, 0 to 1)"


def _marks_sentence(trace: Trace, name: str) -> str:
    """Return what the frames and the column at the right mean."""
    limit, uniform = score_threshold(name), roster.uniform_scores(trace, name)
    sentences = []
    if limit is not None:
        count = int((trace[f"head_{name}"] > limit).sum())
        if not count:
            sentences.append(f"No head is above {limit:g}.")
        elif count > LIVE_CELLS:
            sentences.append(f"Above {limit:g}: {count:,} heads.")
        else:
            sentences.append(f"Framed in green: above {limit:g}.")
    if np.isfinite(uniform).any():
        sentences.append("Right column: uniform attention.")
    return " ".join(sentences)


def _finding(trace: Trace, name: str) -> str:
    facts = {fact.id: fact for fact in model_heads(trace)}
    if name in facts:
        return f"{facts[name].name}: {facts[name].text}"
    return next((finding.text for finding in observe(trace) if finding.id == "range"), "")


def _lines(trace: Trace, name: str) -> Iterator[Line]:
    values, uniform = trace[f"head_{name}"], roster.uniform_scores(trace, name)
    heads = trace["score_head"] if "score_head" in trace else np.arange(values.shape[1])
    for entry, layer in enumerate(trace["layer"]):
        for column, head in enumerate(heads):
            yield (
                int(layer),
                int(head),
                values[entry, column],
                score_threshold(name),
                uniform[entry],
            )
