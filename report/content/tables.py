"""The page's charts as tables: the same values in numbers, in a bounded number of rows.

The tables show the charts as they open. The script writes those of map, window and spread again
when their charts change.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.report import planes
from attentropy.report.content.chart_table import Cell, ChartTable, Column, number
from attentropy.report.content.profile_words import ProfileTable
from attentropy.report.figures.exact_weights import window_weights
from attentropy.report.figures.spread import ceilings_at
from attentropy.report.read.curves import Curve
from attentropy.report.read.maps import SCORES, pool_tiles, tile_edges
from attentropy.report.read.reasoning import reasoning_end
from attentropy.report.read.top_keys import hidden_keys, leaves_sinks_out
from attentropy.report.read.unit_rows import ANSWER, REST, SINKS, UnitRows
from attentropy.report.read.views import View
from attentropy.report.text import shorten
from attentropy.report.units import count, percent

COLUMNS = 24  # positions of the section
_HEADS = 128
_SPREAD = 64
_TILES = 64
_WINDOW = 24
_KEYS = 32
_SINKS = 3  # that the title of a table names
_STEPS = 2048
_UNITS = 128


def of_section(view: View, rows: Sequence[str], start: int, stop: int) -> ChartTable:
    """Return the figure's section, the last layer on top, with at most `COLUMNS` positions."""
    start = max(start, stop - COLUMNS)
    texts = view.trace.tokens
    cell_texts = view.texts(start, stop, 14)
    besides = " besides sink keys" if leaves_sinks_out(view.trace) else ""
    what, kind = (
        ("lens entropy", "top token")
        if view.name == "lens"
        else ("attention entropy (mean over heads)", f"most attended token{besides}")
    )
    columns = [Column("layer", number=False)]
    skill = view.readability.skill if view.readability is not None else None
    columns += [Column("lens skill")] if skill is not None else []
    for i in range(start, stop):
        group = f"{i} {shorten(texts[i], 14)}"
        columns += [Column("nats", group=group), Column("token", number=False, group=group)]
    cells: list[list[Cell]] = []
    for r in reversed(range(len(rows))):
        pairs = (
            (number(view.values[r, i]), cell_texts[r][i - start] or None)
            for i in range(start, stop)
        )
        own = [number(float(skill[r]))] if skill is not None else []
        cells.append([rows[r], *own, *(cell for pair in pairs for cell in pair)])
    title = f"Magnified section: {what} in nats and {kind}, positions {start} to {stop - 1}"
    return ChartTable(f"table-{view.name}", title, columns, cells)


def of_layers(id: str, title: str, curves: Sequence[Curve], rows: Sequence[str]) -> ChartTable:
    """Return curves over the layers, the first layer on top."""
    columns, values = [Column("layer", number=False)], []
    around = ("lower quartile", "upper quartile") if id == "lens" else ("lowest", "highest head")
    for curve in curves:
        named = {
            curve.heading: curve.mean, around[0]: curve.low, around[1]: curve.high,
            "uniform": curve.uniform,
        }  # fmt: skip
        for name, column in named.items():
            if column is not None:
                columns.append(Column(name, group=curve.title))
                values.append(column)
    cells = [[label, *(number(v[i]) for v in values)] for i, label in enumerate(rows)]
    return ChartTable(f"table-{id}-layers", title, columns, cells)


def of_spread(
    trace: Trace, attention: planes.AttentionPlanes, layer: int, label: str
) -> ChartTable:
    """Return attention entropy of one layer against the position, in at most `_SPREAD` rows."""
    heads, n = attention.heads[layer], attention.mean.shape[1]
    each = -(-heads.shape[1] // _SPREAD)
    measured = np.isfinite(heads).any(0)
    firsts = [i for i in range(0, heads.shape[1], each) if measured[i : i + each].any()]
    spans = [(i * attention.step, min(n, (i + each) * attention.step)) for i in firsts]
    ceilings = ceilings_at(trace, layer, [(start + stop) // 2 for start, stop in spans])
    cells: list[list[Cell]] = []
    for i, (start, stop), ceiling in zip(firsts, spans, ceilings, strict=True):
        tile = heads[:, i : i + each]
        values = (np.nanmean(tile), np.nanmin(tile), np.nanmax(tile), ceiling)
        cells.append([f"{start} to {stop - 1}", *(number(float(value)) for value in values)])
    columns = [
        Column("positions", number=False), Column("mean over heads"), Column("lowest head"),
        Column("highest head"), Column("ln(visible keys) in the middle"),
    ]  # fmt: skip
    title = f"Attention entropy (nats) by position, layer {label}"
    return ChartTable("table-spread", title, columns, cells)


def of_heads(trace: Trace, names: Sequence[str], rows: Sequence[str]) -> ChartTable:
    """Return all scores of every head; of many heads the `_HEADS` lowest in the first score."""
    scores = np.stack([trace[f"head_{name}"].astype(np.float64) for name in names])
    layers, heads = scores.shape[1:]
    pairs = [(layer, head) for layer in range(layers) for head in range(heads)]
    measured = [(layer, head) for layer, head in pairs if np.isfinite(scores[:, layer, head]).any()]
    title = "Scores of every head"
    if len(measured) > _HEADS:
        title = f"Scores of the {_HEADS} heads (of {len(measured):,}) with the lowest {names[0]}"
        lowest = sorted(measured, key=lambda at: np.nan_to_num(scores[0][at], nan=np.inf))
        measured = sorted(lowest[:_HEADS])
    columns = [Column("head", number=False), *(Column(SCORES[name]) for name in names)]
    cells: list[list[Cell]] = [
        [f"layer {rows[layer]} head {head}", *(number(s[layer, head]) for s in scores)]
        for layer, head in measured
    ]
    uniform = [f"uniform_{name}" for name in names]
    if any(name in trace for name in uniform):
        means = [
            np.nanmean(trace[name]) if _has_values(trace, name) else np.nan for name in uniform
        ]
        cells.append(["uniform attention (mean over layers)", *(number(float(v)) for v in means)])
    return ChartTable("table-heads", title, columns, cells)


def of_window(trace: Trace, label: str, entry: int = 0, head: int = -1) -> ChartTable:
    """Return the last queries and keys of the exact window: one layer, a head or their mean."""
    window = window_weights(trace, "window", entry, head)
    weights, which = window.values, "mean over heads" if window.mean else f"head {head}"
    queries, keys = (trace[f"window_{axis}"][-_WINDOW:] for axis in ("query", "key"))
    texts = trace.tokens
    columns = [Column("query", number=False)]
    columns += [Column(f"{int(k)} {shorten(texts[k], 14)}") for k in keys]
    part = weights[-len(queries) :, -len(keys) :]
    cells: list[list[Cell]] = [
        [f"{int(q)} {shorten(texts[q], 14)}", *(number(p) for p in row)]
        for q, row in zip(queries, part, strict=True)
    ]
    title = f"Attention weights of layer {label}, {which}, from queries (rows) to keys"
    if part.size < weights.size:
        title += f": the last {len(queries)} of {count(weights.shape[0], 'query', 'queries')}"
    return ChartTable("table-window", title, columns, cells)


def of_map(trace: Trace, label: str, entry: int = 0, head: int = 0) -> ChartTable:
    """Return the tiles with the largest shares: one layer, one of the heads of the map."""
    weights = np.nan_to_num(pool_tiles(trace, entry, 1)[head])
    n = trace.prompt_tokens
    queries, keys = (tile_edges(trace[f"map_{axis}"], 1, n) for axis in ("query", "key"))
    order = np.argsort(-weights, axis=None, kind="stable")[:_TILES]
    cells: list[list[Cell]] = []
    for q, k in zip(*np.unravel_index(order, weights.shape), strict=True):
        if weights[q, k] > 0:
            cells.append([_span(queries, q), _span(keys, k), number(float(weights[q, k]))])
    title = f"The {count(len(cells), 'tile')} of the map with the largest shares, layer {label}"
    return ChartTable("table-map", title, _shares(), cells)


def of_answer(trace: Trace) -> ChartTable:
    """Return the generated tokens with their probability, rank and entropy."""
    texts = [str(text) for text in trace["generated_text"]]
    steps = len(texts)
    values = (
        np.exp(trace["generated_logprob"].astype(np.float64)),
        trace["generated_rank"].astype(np.float64) + 1,
        trace["generated_entropy"].astype(np.float64),
    )
    first = trace.prompt_tokens
    reasoning = reasoning_end(trace) - first
    parts = ["reasoning"] * reasoning + ["answer"] * (steps - reasoning) if reasoning else []
    cells: list[list[Cell]] = [
        [
            str(first + i), shorten(texts[i], 24), *parts[i : i + 1],
            *(number(float(v[i])) for v in values),
        ]
        for i in range(min(steps, _STEPS))
    ]  # fmt: skip
    columns = [
        Column("position", number=False), Column("token", number=False),
        *([Column("part", number=False)] if parts else []), Column("probability"),
        Column("rank (1 = top-1)"), Column("entropy (nats)"),
    ]  # fmt: skip
    title = f"The {count(steps, 'generated token')}, from the model's output at each step"
    if steps > _STEPS:
        title = f"The first {_STEPS:,} of {title.removeprefix('The ')}"
    return ChartTable("table-answer", title, columns, cells)


def of_units(units: UnitRows) -> ChartTable:
    """Return one row per message or segment, and for the rest of the text."""
    has_answer = any(np.isfinite(row.mass) for row in units.rows)
    named = [row for row in units.rows if row.label not in (REST, ANSWER, SINKS)]
    rows = [*named[:_UNITS], *units.rows[len(named) :]]
    columns = [
        Column(units.kind, number=False), Column("text", number=False), Column("tokens"),
        Column("perplexity"), Column("surprisal (nats)"), Column("lens entropy (nats)"),
        Column("attention entropy (nats)"),
    ]  # fmt: skip
    columns += [Column("attention from the answer")] if has_answer else []
    cells: list[list[Cell]] = []
    for row in rows:
        with np.errstate(over="ignore"):  # of a stranger's trace
            perplexity = float(np.exp(row.surprisal))
        measured = (perplexity, row.surprisal, row.lens_entropy, row.entropy)
        line: list[Cell] = [row.label, row.text, f"{row.tokens:,}", *map(number, measured)]
        line += [percent(row.mass) if np.isfinite(row.mass) else None] if has_answer else []
        cells.append(line)
    rest = " and the rest of the text" if len(rows) > len(named) else ""
    title = f"The {count(len(named), units.kind)}{rest}; entropies and surprisals are token means"
    if len(named) > _UNITS:
        title = f"The first {_UNITS} of {title.removeprefix('The ')}"
    return ChartTable(f"table-{units.kind}s", title, columns, cells)


def of_region() -> ChartTable:
    """Return the empty table of the map's framed region, which the script fills."""
    return ChartTable("table-region", "The purple frame", _shares(), [], live=True)


def _shares() -> list[Column]:
    """Return the columns of a table of tiles."""
    return [
        Column("queries", number=False), Column("keys", number=False),
        Column("share of the queries' attention"),
    ]  # fmt: skip


def of_received(trace: Trace, label: str, entry: int = 0) -> ChartTable:
    """Return the keys that receive the most besides sink keys: one layer, first recorded head."""
    values = np.nan_to_num(trace["received"][entry, 0].astype(np.float64))
    texts, sinks = trace.tokens, hidden_keys(trace, entry)
    order = [k for k in np.argsort(-values, kind="stable") if k not in sinks][:_KEYS]
    cells: list[list[Cell]] = [
        [str(int(k)), shorten(texts[k], 24), number(float(values[k]))] for k in order
    ]
    columns = [
        Column("key", number=False),
        Column("token", number=False),
        Column("attention received"),
    ]
    title = (
        f"The {count(len(cells), 'key')} that "
        f"{'receives' if len(cells) == 1 else 'receive'} most attention from all queries, layer "
        f"{label}"
    )
    if sinks:
        named = ", ".join(f"{shorten(texts[k], 24)} ({values[k]:.4g})" for k in sinks[:_SINKS])
        more = f" and {len(sinks) - _SINKS:,} more" if len(sinks) > _SINKS else ""
        title += f"; sink keys left out: {named}{more}"
    return ChartTable("table-received", title, columns, cells)


def of_profile(profile_tables: Iterable[ProfileTable]) -> Iterator[ChartTable]:
    """Yield the profile's tables."""
    for i, table in enumerate(profile_tables):
        columns = [Column(name or "part", number=j > 0) for j, name in enumerate(table.columns)]
        yield ChartTable(f"table-profile-{i}", table.title, columns, table.rows)


def _span(edges: Sequence[int], tile: int) -> str:
    """Return the positions of a tile in words."""
    return f"{edges[tile]} to {edges[tile + 1] - 1}"


def _has_values(trace: Trace, name: str) -> bool:
    """Return whether a variable has a finite value."""
    return name in trace and bool(np.isfinite(trace[name]).any())
