"""The values of the figures `lens` and `attention` as lines of a table."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.report.compare.columns import on_columns
from attentropy.report.compare.difference import Difference
from attentropy.report.export.csv_table import Cell, Line, token
from attentropy.report.export.figure_rows import FigureRows, HeadView
from attentropy.report.figures.exact_weights import InsetWeights
from attentropy.report.figures.heatmap_data import tile_means
from attentropy.report.figures.placement import Placement
from attentropy.report.read.cells import tokens_of_sides
from attentropy.report.read.top_keys import leaves_sinks_out, top_keys
from attentropy.report.text import shorten

_BEFORE = ("part", "layer", "head", "first position", "last position", "token")
_TOP = ("top token", "top token probability")
_AFTER = ("key position", "key token", "attention weight")
_ISOLATES = str.maketrans("", "", "\u2068\u2069")
_TEXT_COLUMNS = 120

_TopTokens = list[list[tuple[Cell, ...]]]
"""The token that each cell [row][column] names, uncut, and its probability if known.

In a comparison: those of A, then those of B.
"""


def columns_of(rows: FigureRows) -> tuple[str, ...]:
    """Return the names of the columns."""
    return (*_BEFORE, rows.column, *_top_columns(rows), *_AFTER, *_skill_columns(rows))


def _skill_columns(rows: FigureRows) -> tuple[str, ...]:
    """Return the column of the lens's skill, one per side; nothing where it is not drawn."""
    readability = rows.view.readability
    if readability is None:
        return ()
    is_pair = len(readability.sides) > 1
    return ("lens skill in A", "lens skill in B") if is_pair else ("lens skill",)


def _skill(rows: FigureRows, row: int) -> tuple[Cell, ...]:
    readability = rows.view.readability
    return (
        ()
        if readability is None
        else tuple(np.float32(side.skill[row]) for side in readability.sides)
    )


def _top_columns(rows: FigureRows) -> tuple[str, ...]:
    if isinstance(rows.view.trace, Difference):
        return tuple(f"{name} in {side}" for side in "AB" for name in _TOP)
    return _TOP


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
    rest = [None] * (len(_top_columns(rows)) + len(_AFTER))
    for r in range(means.shape[0]):
        for c, value in enumerate(means[r]):
            first, last = start + c * size, min(n, start + (c + 1) * size) - 1
            name = token(tokens, first) if size == 1 else None
            place = (part, *_layer_and_head(trace, rows, r), first, last, name)
            yield (*place, value, *rest, *_skill(rows, r))


def _cell_lines(trace: Trace, rows: FigureRows, part: str, start: int, stop: int) -> Iterator[Line]:
    """Yield value, top token and its probability for each cell of the positions."""
    values, tokens = rows.view.values, trace["token_text"]
    top = _top_tokens(rows, start, stop)
    for r in range(len(rows.cells)):
        for p in range(start, stop):
            yield (
                part, *_layer_and_head(trace, rows, r), p, p, token(tokens, p), values[r, p],
                *top[r][p - start], None, None, None, *_skill(rows, r),
            )  # fmt: skip


def _weight_lines(trace: Trace, rows: FigureRows, row: int, inset: InsetWeights) -> Iterator[Line]:
    tokens = trace["token_text"]
    entry, head = rows.cells[row]
    name = "mean" if inset.mean or head is None else head
    before_keys = [None] * (1 + len(_top_columns(rows)))
    for i, query in enumerate(inset.queries):
        for j, key in enumerate(inset.keys):
            yield (
                "inset", int(trace["layer"][entry]), name, query, query, token(tokens, query),
                *before_keys, key, token(tokens, key), inset.weights[i, j],
            )  # fmt: skip


def _layer_and_head(trace: Trace, rows: FigureRows, r: int) -> tuple[int, int | str | None]:
    entry, head = rows.cells[r]
    if rows.view.name == "lens":
        return int(trace["layer"][entry]), None
    return int(trace["layer"][entry]), "mean" if head is None or head < 0 else head


def _top_tokens(rows: FigureRows, start: int, stop: int) -> _TopTokens:
    view, trace, span = rows.view, rows.view.trace, slice(start, stop)
    if isinstance(trace, Difference):
        return _of_both_sides(rows, trace, span)
    names = view.texts(start, stop, _TEXT_COLUMNS)
    probabilities: np.ndarray | None = None
    if view.name == "lens":
        probabilities = np.exp(trace.lens("lens_top_logprobs", span)[..., 0])
    elif isinstance(view, HeadView) and "max_prob" in trace:
        probabilities = np.stack([_largest_weights(trace, e, h, span) for e, h in view.cells])
    return [
        [
            (name.translate(_ISOLATES), None if probabilities is None else probabilities[r, c])
            for c, name in enumerate(row)
        ]
        for r, row in enumerate(names)
    ]


def _largest_weights(trace: Trace, entry: int, head: int, span: slice) -> np.ndarray:
    """Return the weights on the most attended keys; NaN where a sink key, left out, has more."""
    values: np.ndarray = trace.dataset["max_prob"][entry, head, span].values
    if not leaves_sinks_out(trace) or "top_key" not in trace:
        return values
    keys = trace.dataset["top_key"][entry, head, span].values
    return np.where(top_keys(trace, entry, head, span) == keys, values, np.nan)


def _of_both_sides(rows: FigureRows, difference: Difference, span: slice) -> _TopTokens:
    view = rows.view
    probabilities: np.ndarray | None = None
    if not isinstance(view, HeadView):
        pairs = tokens_of_sides(difference, view.name, span)
        if view.name == "lens":
            probabilities = np.exp(difference.lens("lens_top_logprobs", span))
    elif "top_key" in difference:
        pairs = view.tokens_of_sides(difference, span)
    else:
        pairs = [[(None, None)] * len(difference.kind[span]) for _ in view.cells]
    if isinstance(view, HeadView) and all("max_prob" in side for side in difference.traces):
        columns = (difference.at_a[span], difference.at_b[span])
        probabilities = np.stack([
            np.stack([
                on_columns(_largest_weights(side, e, h, slice(None)), at)
                for side, at in zip(difference.traces, columns, strict=True)
            ], -1)
            for e, h in view.cells
        ])  # fmt: skip

    def cells(r: int, c: int) -> tuple[Cell, ...]:
        names = [
            None if text is None else shorten(text, _TEXT_COLUMNS).translate(_ISOLATES)
            for text in pairs[r][c]
        ]
        own = (None, None) if probabilities is None else probabilities[r, c]
        return (names[0], own[0], names[1], own[1])

    return [[cells(r, c) for c in range(len(pairs[r]))] for r in range(len(pairs))]
