"""The values of the figures `lens` and `attention` as lines of a table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.report.compare.difference import Difference
from attentropy.report.export.csv_table import Cell, Line, token
from attentropy.report.export.figure_rows import FigureRows, HeadView
from attentropy.report.figures.exact_weights import InsetWeights
from attentropy.report.figures.heatmap_data import tile_means
from attentropy.report.figures.placement import Placement

_BEFORE = ("part", "layer", "head", "first position", "last position", "token")
_AFTER = (
    "top token", "top token probability", "key position", "key token", "attention weight",
)  # fmt: skip
_ISOLATES = str.maketrans("", "", "\u2068\u2069")
_TEXT_COLUMNS = 120


@dataclass(frozen=True)
class _TopTokens:
    """The token that each cell [row][column] names, uncut, and its probability if known."""

    names: list[list[str]]
    probabilities: list[list[Cell]]


def columns_of(rows: FigureRows) -> tuple[str, ...]:
    """Return the names of the columns."""
    return (*_BEFORE, rows.column, *_AFTER)


def lines_of(
    trace: Trace, rows: FigureRows, row: int, placement: Placement, inset: InsetWeights | None,
    live: bool,
) -> Iterator[Line]:  # fmt: skip
    """Yield the values of overview, section and inset.

    `live`: the section shows its cells one by one, with their texts. `row` is the row of the
    `inset` of weights; without one, the inset is a column of the section.
    """
    values, step = rows.view.values, rows.view.step
    yield from _tile_lines(trace, rows, "overview", *tile_means(values, step), 0)
    start, stop = placement.start, placement.stop
    if live:
        yield from _cell_lines(trace, rows, "section", start, stop)
    else:
        yield from _tile_lines(trace, rows, "section", *tile_means(values[:, start:stop]), start)
    if inset is None:
        yield from _cell_lines(trace, rows, "inset", placement.column, placement.column + 1)
    else:
        yield from _weight_lines(trace, rows, row, inset)


def _tile_lines(
    trace: Trace, rows: FigureRows, part: str, size: int, means: np.ndarray, start: int
) -> Iterator[Line]:
    """Yield the mean of each `size` positions, from the position `start` on."""
    tokens, n = trace["token_text"], trace.dataset.sizes["position"]
    for r in range(means.shape[0]):
        for c, value in enumerate(means[r]):
            first, last = start + c * size, min(n, start + (c + 1) * size) - 1
            name = token(tokens, first) if size == 1 else None
            yield (
                part, *_layer_and_head(trace, rows, r), first, last, name, value,
                None, None, None, None, None,
            )  # fmt: skip


def _cell_lines(trace: Trace, rows: FigureRows, part: str, start: int, stop: int) -> Iterator[Line]:
    """Yield value, top token and its probability for each cell of the positions."""
    values, tokens = rows.view.values, trace["token_text"]
    top = _top_tokens(rows, start, stop)
    for r in range(len(rows.cells)):
        for p in range(start, stop):
            yield (
                part, *_layer_and_head(trace, rows, r), p, p, token(tokens, p), values[r, p],
                top.names[r][p - start], top.probabilities[r][p - start], None, None, None,
            )  # fmt: skip


def _weight_lines(trace: Trace, rows: FigureRows, row: int, inset: InsetWeights) -> Iterator[Line]:
    tokens = trace["token_text"]
    entry, head = rows.cells[row]
    name = "mean" if inset.mean or head is None else head
    for i, query in enumerate(inset.queries):
        for j, key in enumerate(inset.keys):
            yield (
                "inset", int(trace["layer"][entry]), name, query, query, token(tokens, query),
                None, None, None, key, token(tokens, key), inset.weights[i, j],
            )  # fmt: skip


def _layer_and_head(trace: Trace, rows: FigureRows, r: int) -> tuple[int, int | str | None]:
    entry, head = rows.cells[r]
    if rows.view.name == "lens":
        return int(trace["layer"][entry]), None
    return int(trace["layer"][entry]), "mean" if head is None or head < 0 else head


def _top_tokens(rows: FigureRows, start: int, stop: int) -> _TopTokens:
    view, trace = rows.view, rows.view.trace
    names = [
        [text.translate(_ISOLATES) for text in row]
        for row in view.texts(start, stop, _TEXT_COLUMNS)
    ]
    probabilities: list[list[Cell]] = [[None] * (stop - start) for _ in rows.cells]
    if isinstance(trace, Difference):  # a token of A and one of B: no one probability
        return _TopTokens(names, probabilities)
    if view.name == "lens":
        logprobs = trace.lens("lens_top_logprobs", slice(start, stop))[..., 0]
        probabilities = [list(row) for row in np.exp(logprobs)]
    elif isinstance(view, HeadView) and "max_prob" in trace:
        values = trace.dataset["max_prob"]
        probabilities = [list(values[e, h, start:stop].values) for e, h in view.cells]
    return _TopTokens(names, probabilities)
