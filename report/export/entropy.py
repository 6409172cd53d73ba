"""Lens and attention: overview, section and inset, as the page places them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np

from attentropy.engine.errors import AttentropyError, UsageError
from attentropy.engine.trace.dataset import Trace
from attentropy.report.export.choices import Asked
from attentropy.report.export.csv import Table, token
from attentropy.report.export.plate import Plate, captioned, colours
from attentropy.report.export.rows import Heads, Rows, head_name, rows_of
from attentropy.report.figures import heatmap_data as cells
from attentropy.report.figures import weights
from attentropy.report.figures.heatmap import heatmap
from attentropy.report.figures.placement import BOX, Placement, place
from attentropy.report.figures.sizes import fitted
from attentropy.report.findings.single import observe

_BEFORE = ("part", "layer", "head", "first position", "last position", "token")
_AFTER = (
    "top token", "top token probability", "key position", "key token", "attention weight",
)  # fmt: skip
_ISOLATES = str.maketrans("", "", "\u2068\u2069")


def plate(trace: Trace, asked: Asked, pixels: int) -> Plate:
    """The figure `lens` or `attention`.

    Raises `UsageError` for an inset outside of the section, `AttentropyError` where the trace holds
    no such entropies.
    """
    variable = {"lens": "lens_entropy", "attention": "entropy"}[asked.figure]
    if variable not in trace:
        how = "--lens residual" if asked.figure == "lens" else "--stats entropy"
        raise AttentropyError(
            f"the trace holds no {asked.figure} entropy: record it with attentropy extract {how}"
        )
    rows = rows_of(trace, asked)
    count = len(rows.labels)
    placed = _placed(trace, asked, fitted(count, pixels).columns)
    row = asked.layer if asked.layer is not None and rows.title == "layer" else 0
    entry, head = rows.cells[row]
    held, inset = None, fitted(count, pixels).inset
    if asked.figure == "attention":
        held = weights.inset(trace, placed.column, entry, head)
        held = held and weights.fitting(held, inset)

    def draw(wide: int) -> dict[str, Any]:
        size = fitted(count, wide)
        data = cells.datasets(trace, size, placed, rows.view, rows.labels, asked.palette)
        state = cells.state(trace, size, placed, count)
        if rows.title != "layer":
            data["rowtitle"] = [{"text": rows.title}]
            for title in data["overviewtitle"]:
                title["text"] = title["text"].replace("every layer", "every head")
        if held is not None:
            titled = f"layer {int(trace['layer'][entry])}"
            if not held.mean:
                titled += f" head {head}"
            elif size.inset > 100:
                titled = f"weights, {titled}"
            data |= weights.datasets(trace, held, titled, size.inset)
            state |= weights.state(held, size.height)
        return heatmap(size, state, data)

    live = cells.is_live(fitted(count, pixels), placed.stop - placed.start, count)
    title = rows.what[0].upper() + rows.what[1:]
    caption = captioned(
        trace, title, _drawn(trace, rows, placed, live),
        _inset(trace, rows, row, placed, held, inset >= 120),
        f"Blue box: {placed.caption}." if _boxed(placed) else "",
        colours(rows.view.scale, asked.palette), _finding(trace, asked, rows),
    )  # fmt: skip

    lines = _lines(trace, rows, placed, live)
    columns = (*_BEFORE, rows.column, *_AFTER)
    table = Table(columns, chain(lines, _inset_lines(trace, rows, row, placed, held)))
    return Plate(draw, title, caption, table)


def _placed(trace: Trace, asked: Asked, columns: int) -> Placement:
    """As the page places it; an inset that was asked for moves a section that was not."""
    placed = place(trace, columns, asked.section)
    if asked.figure != "lens":
        placed = replace(placed, caption=BOX if placed.caption else "")
    if asked.inset is None:
        return placed
    start, stop, column = placed.start, placed.stop, asked.inset
    if asked.section is not None and not start <= column < stop:
        raise UsageError(
            f"--inset {column} lies outside of --section {start}:{stop}: leave one of them out"
        )
    move = min(0, column - start) + max(0, column + 1 - stop)
    return replace(placed, start=start + move, stop=stop + move, column=column)


def _boxed(placed: Placement) -> bool:
    return (
        bool(placed.caption) and placed.box_start < placed.stop and placed.box_stop > placed.start
    )


def _drawn(trace: Trace, rows: Rows, placed: Placement, live: bool) -> str:
    what = "one row a layer, at the bottom the first"
    if rows.title != "layer":
        what = f"one row a {rows.title}"
    elif rows.view.name == "attention":
        head = rows.cells[0][1]
        what += ", mean over heads" if head is None else f", head {head_name(head)}"
    many = f", each column the mean of {rows.view.step}" if rows.view.step > 1 else ""
    said = ", cells name the lens's likeliest token"
    if rows.view.name != "lens":
        said = ", cells name the most attended token" if "top_key" in trace else ""
    said = said if live else ""
    return (
        f"Top: every position ({what}{many}); the purple frame is magnified below (positions "
        f"{placed.start:,} to {placed.stop - 1:,}){said}."
    )


def _inset(
    trace: Trace, rows: Rows, row: int, placed: Placement, held: weights.Inset | None,
    wide: bool,
) -> str:  # fmt: skip
    where = f"position {placed.column:,} ({token(trace['token_text'], placed.column)})"
    if held is None:
        with_ = ", with the token's probability" if rows.view.name == "lens" and wide else ""
        return f"Green: {where} magnified{with_}."
    entry, head = rows.cells[row]
    of = "mean over heads" if held.mean else f"head {head_name(head if head is not None else -1)}"
    before = {0: "", 1: " and of the one before it", 2: " and of the two before it"}
    return (
        f"Green: exact attention weights in layer {int(trace['layer'][entry])} ({of}) of {where}"
        f"{before[len(held.queries) - 1]} (columns) over the keys that it attends to most (rows), "
        "white 0 to dark blue 1."
    )


def _finding(trace: Trace, asked: Asked, rows: Rows) -> str:
    """The first finding of what is shown: where that is not what the page opens with, one that was
    measured in the same statistic."""
    found = (o for o in observe(trace) if o.view == asked.figure)
    if not rows.plain:
        here = asked.site in ("", trace.site)
        found = (o for o in found if here and o.statistic == asked.stat)
    return next((o.text for o in found), "")


def _lines(trace: Trace, rows: Rows, placed: Placement, live: bool) -> Iterator[Sequence[Any]]:
    """Overview and section: of each cell its value, and in a section with texts what it says."""
    values, tokens = rows.view.values, trace["token_text"]
    yield from _tiled(trace, rows, "overview", *cells.tiled(values, rows.view.step), 0)
    start, stop = placed.start, placed.stop
    if not live:
        yield from _tiled(trace, rows, "section", *cells.tiled(values[:, start:stop]), start)
        return
    said, likely = _said(rows, start, stop)
    for r in range(len(rows.cells)):
        for p in range(start, stop):
            yield (
                "section", *_row(trace, rows, r), p, p, token(tokens, p), values[r, p],
                said[r][p - start], likely[r][p - start], None, None, None,
            )  # fmt: skip


def _tiled(
    trace: Trace, rows: Rows, part: str, size: int, means: np.ndarray, start: int
) -> Iterator[Sequence[Any]]:
    tokens, n = trace["token_text"], trace.dataset.sizes["position"]
    for r in range(means.shape[0]):
        for c, value in enumerate(means[r]):
            first, last = start + c * size, min(n, start + (c + 1) * size) - 1
            name = token(tokens, first) if size == 1 else None
            yield (
                part, *_row(trace, rows, r), first, last, name, value,
                None, None, None, None, None,
            )  # fmt: skip


def _row(trace: Trace, rows: Rows, r: int) -> tuple[int, int | str | None]:
    entry, head = rows.cells[r]
    if rows.view.name == "lens":
        return int(trace["layer"][entry]), None
    return int(trace["layer"][entry]), "mean" if head is None or head < 0 else head


def _said(rows: Rows, start: int, stop: int) -> tuple[list[list[str]], list[list[Any]]]:
    """The token that each cell names, whole, and its probability where that is known."""
    said = [
        [text.translate(_ISOLATES) for text in row] for row in rows.view.texts(start, stop, 120)
    ]
    likely: list[list[Any]] = [[None] * (stop - start) for _ in rows.cells]
    trace = rows.view.trace
    if rows.view.name == "lens":
        likely = list(np.exp(trace.lens("lens_top_logprobs", slice(start, stop))[..., 0]))
    elif isinstance(rows.view, Heads) and "max_prob" in trace:
        held = trace.dataset["max_prob"]
        likely = [list(held[e, h, start:stop].values) for e, h in rows.view.cells]
    return said, likely


def _inset_lines(
    trace: Trace, rows: Rows, row: int, placed: Placement, held: weights.Inset | None
) -> Iterator[Sequence[Any]]:
    tokens, column = trace["token_text"], placed.column
    if held is None:
        said, likely = _said(rows, column, column + 1)
        for r in range(len(rows.cells)):
            yield (
                "inset", *_row(trace, rows, r), column, column, token(tokens, column),
                rows.view.values[r, column], said[r][0], likely[r][0], None, None, None,
            )  # fmt: skip
        return
    entry, head = rows.cells[row]
    of = "mean" if held.mean or head is None else head
    for i, query in enumerate(held.queries):
        for j, key in enumerate(held.keys):
            yield (
                "inset", int(trace["layer"][entry]), of, query, query, token(tokens, query),
                None, None, None, key, token(tokens, key), held.weights[i, j],
            )  # fmt: skip
