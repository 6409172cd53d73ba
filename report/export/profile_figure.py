"""The figure `profile`: the time of each layer by part, and the parts' shares per chunk."""

from __future__ import annotations

from collections.abc import Iterator

from attentropy.engine.errors import AttentropyError
from attentropy.engine.trace.dataset import Trace
from attentropy.report.content.profile_words import growth_words, profile_sentences
from attentropy.report.export.choices import ExportChoices
from attentropy.report.export.csv_table import CsvTable, Line
from attentropy.report.export.figure_plan import FigurePlan, make_caption
from attentropy.report.figures.panels import Layout
from attentropy.report.figures.profile_charts import charts, records
from attentropy.report.figures.specification import VegaLite
from attentropy.report.units import count

_COLUMNS = ("panel", "layer", "first token", "part", "time (s)", "share of the chunk's time")
_SIDE_BY_SIDE = 640  # pixels from which on the panels stand side by side


def plan(trace: Trace, choices: ExportChoices, pixels: int) -> FigurePlan:
    """Return the figure `profile`. Raises `AttentropyError` if the trace has no profile."""
    profile = trace.attrs.get("profile")
    if "profile_seconds" not in trace or not isinstance(profile, dict):
        raise AttentropyError("the trace has no profile; make one with attentropy profile")
    side_by_side = pixels >= _SIDE_BY_SIDE

    def draw(width: int) -> VegaLite:
        panel = (width - 330) // 2 if side_by_side else width - 80
        layout = Layout(panel, 230 if side_by_side else 190, side_by_side)
        return charts(trace, layout)[choices.theme == "dark"]

    title = "Prefill time"
    places = ("Left", "Right") if side_by_side else ("Top", "Bottom")
    caption = make_caption(
        trace, title,
        f"{places[0]}: time per layer, summed over chunks of {count(profile['chunk'], 'token')}, "
        f"while {', '.join(map(str, profile['stats']))} is recorded. {places[1]}: share of each "
        f"part in the time of each chunk.{growth_words(trace)}",
        profile_sentences(profile)[0],
    )  # fmt: skip
    return FigurePlan(draw, title, caption, CsvTable(_COLUMNS, _lines(trace)))


def _lines(trace: Trace) -> Iterator[Line]:
    layers, chunks, _ = records(trace)
    for row in layers:
        yield "layers", row["layer"], None, row["part"], row["to"] - row["from"], None
    end = max((row["at"] for row in chunks), default=0)
    for row in chunks:
        if row["at"] < end:  # the rows that end the last step have no time of their own
            yield "chunks", None, row["at"], row["part"], None, row["to"] - row["from"]
