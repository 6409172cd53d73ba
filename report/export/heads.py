"""Every head's score, beside what a uniform row would give."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from attentropy.engine.errors import AttentropyError
from attentropy.engine.trace.dataset import Trace
from attentropy.report.export.choices import Asked
from attentropy.report.export.csv import Table
from attentropy.report.export.plate import Plate, captioned, colours
from attentropy.report.figures import roster
from attentropy.report.figures.sizes import LIVE_CELLS, SLIM
from attentropy.report.findings.single import observe
from attentropy.report.read import views
from attentropy.report.read.maps import SCORES, scored, threshold


def plate(trace: Trace, asked: Asked, pixels: int) -> Plate:
    """The figure `heads`. Raises `AttentropyError` where the trace holds no scores."""
    names = scored(trace)
    if not names:
        raise AttentropyError(
            "the trace holds no scores of heads: record them with attentropy extract --scores"
        )
    name = asked.score or names[0]
    rows = [str(int(layer)) for layer in trace["layer"]]
    high = views.high(trace, "attention") if name == "entropy" else 1.0

    def draw(wide: int) -> dict[str, Any]:
        layers, heads = trace[f"head_{name}"].shape
        size = max(80, wide - 150), roster.pixels(layers, heads, False)[1]
        return roster.drawn(trace, name, rows, wide < SLIM, high, size, whole=True)

    title = "Scores of the attention heads"
    color = "Colour: white 0, the middle 0.5, dark blue 1; grey: missing."
    caption = captioned(
        trace, title, f"{SCORES[name].capitalize()}, one cell a head.",
        colours(views.scale(trace, "attention"), asked.palette) if name == "entropy" else color,
        _framed(trace, name),
        _finding(trace, name),
    )  # fmt: skip
    columns = ("layer", "head", _header(name), "threshold", "of a uniform row")
    return Plate(draw, title, caption, Table(columns, _lines(trace, name)))


def _header(name: str) -> str:
    return "entropy (nats)" if name == "entropy" else f"{name} (share, 0 to 1)"


def _framed(trace: Trace, name: str) -> str:
    limit, uniform = threshold(name), roster.beside(trace, name)
    said = []
    if limit is not None:
        count = int((trace[f"head_{name}"] > limit).sum())
        many = " (too many to frame)" if count > LIVE_CELLS else ""
        said.append(f"Framed in green: above {limit:g}{many}.")
    if np.isfinite(uniform).any():
        said.append("Column at the right: what a uniform row would give.")
    return " ".join(said)


def _finding(trace: Trace, name: str) -> str:
    found = {o.id: o.text for o in observe(trace)}
    return found.get(f"head_{name}") or found.get("range", "")


def _lines(trace: Trace, name: str) -> Iterator[Sequence[Any]]:
    values, uniform = trace[f"head_{name}"], roster.beside(trace, name)
    heads = trace["score_head"] if "score_head" in trace else np.arange(values.shape[1])
    for entry, layer in enumerate(trace["layer"]):
        for at, head in enumerate(heads):
            yield (
                int(layer), int(head), values[entry, at], threshold(name),
                uniform[entry],
            )  # fmt: skip
