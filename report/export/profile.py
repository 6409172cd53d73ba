"""The profile: each layer's time by part, and each part's share as the prompt grows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from attentropy.engine.errors import AttentropyError
from attentropy.engine.trace.dataset import Trace
from attentropy.report.content.profile_words import growth, sentences
from attentropy.report.export.choices import Asked
from attentropy.report.export.csv import Table
from attentropy.report.export.plate import Plate, captioned
from attentropy.report.figures.panels import Layout
from attentropy.report.figures.profile import charts, records

_COLUMNS = ("panel", "layer", "first token", "part", "time (s)", "share of the chunk's time")
_BESIDE = 640  # pixels from which on the panels stand side by side


def plate(trace: Trace, asked: Asked, pixels: int) -> Plate:
    """The figure `profile`. Raises `AttentropyError` where the trace holds none."""
    profile = trace.attrs.get("profile")
    if "profile_seconds" not in trace or not isinstance(profile, dict):
        raise AttentropyError("the trace holds no profile: make one with attentropy profile -o")
    beside = pixels >= _BESIDE

    def draw(wide: int) -> dict[str, Any]:
        layout = Layout((wide - 330) // 2 if beside else wide - 80, 230 if beside else 190, beside)
        return charts(trace, layout)[asked.theme == "dark"]

    title = "Time of prefill"
    where = ("Left", "Right") if beside else ("Above", "Below")
    caption = captioned(
        trace, title,
        f"{where[0]}: each layer, over all chunks of {profile['chunk']:,} tokens, while "
        f"{', '.join(map(str, profile['stats']))} is recorded. {where[1]}: the shares of each "
        f"chunk's time.{growth(trace)}",
        sentences(profile)[0],
    )  # fmt: skip
    return Plate(draw, title, caption, Table(_COLUMNS, _lines(trace)))


def _lines(trace: Trace) -> Iterator[Sequence[Any]]:
    bars, areas, _ = records(trace)
    for bar in bars:
        took = bar["to"] - bar["from"]
        yield "layers", bar["layer"], None, bar["part"], took, None
    last = max((area["at"] for area in areas), default=0)
    for area in areas:
        if area["at"] < last:  # what ends the last step has no time of its own
            yield "chunks", None, area["at"], area["part"], None, area["to"] - area["from"]
