"""The use of the context as tables: the heads with the largest windows first, and the layers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from attentropy.engine.trace.context import SHARES, ContextUse
from attentropy.report.content.chart_table import Cell, ChartTable, Column
from attentropy.report.units import count, format_bytes, percent

_HEADS = 128


@dataclass(frozen=True)
class HeadWindow:
    """The windows of one head at 95 % and 99 %, and the share of queries that see beyond each.

    `entry` is the index of its layer, `first_keys` the share of its attention that goes to the
    first four tokens.
    """

    entry: int
    layer: int
    head: int
    windows: tuple[int, int]
    beyond: tuple[float, float]
    first_keys: float
    limit: int


def head_windows(use: ContextUse) -> list[HeadWindow]:
    """Return the windows of all measured heads, the largest first, then by layer and head."""
    windows = [use.windows(share) for share in SHARES]
    beyond = [use.beyond(share) for share in SHARES]
    rows = [
        HeadWindow(
            int(entry), int(use.layers[entry]), int(head),
            (int(windows[0][entry, head]), int(windows[1][entry, head])),
            (float(beyond[0][entry, head]), float(beyond[1][entry, head])),
            float(use.mass[entry, head, 0]), int(use.limits[entry]),
        )
        for entry, head in np.argwhere(use.is_measured)
    ]  # fmt: skip
    return sorted(rows, key=lambda row: tuple(-size for size in row.windows))


def context_tables(use: ContextUse, rows: Sequence[str]) -> dict[str, ChartTable]:
    """Return the table of the heads, and that of the layers; `rows` are the layers' labels."""
    return {"context": _of_heads(use, rows), "contextlayers": _of_layers(use, rows)}


def _of_heads(use: ContextUse, rows: Sequence[str]) -> ChartTable:
    heads = head_windows(use)
    title = f"Windows of the {count(len(heads), 'head')}, the largest first"
    if len(heads) > _HEADS:
        title = f"The {_HEADS} heads (of {len(heads):,}) with the largest windows"
    columns = [Column("head", number=False), Column("attention to the first four tokens")]
    for share in SHARES:
        group = f"{percent(share)} of the rest"
        columns += [
            Column("window (tokens)", group=group), Column("queries that see further", group=group)
        ]  # fmt: skip
    cells = [
        [f"layer {rows[head.entry]} head {head.head}", percent(head.first_keys), *_pairs(head)]
        for head in heads[:_HEADS]
    ]
    return ChartTable("table-context", title, columns, cells, marked=0)


def _pairs(head: HeadWindow) -> Iterator[Cell]:
    """Yield each window, and the share of queries that see beyond it."""
    for size, beyond in zip(head.windows, head.beyond, strict=True):
        yield f"all {size:,}" if size >= head.limit else f"{size:,}"
        yield "none" if beyond == 0 else percent(beyond)


def _of_layers(use: ContextUse, rows: Sequence[str]) -> ChartTable:
    columns = [
        Column("layer", number=False), Column("keys that a query sees"), Column("far heads"),
        Column("key/value heads"), Column("whole", group="KV cache"),
    ]  # fmt: skip
    columns += [Column(f"windows for {percent(share)}", group="KV cache") for share in SHARES]
    far = use.is_far()
    caches = [use.caches(share) for share in SHARES]
    cells: list[list[Cell]] = []
    for i in np.flatnonzero(use.is_measured.any(1)):
        own = [cache[i] for cache in caches]
        kv = int(use.cache_heads[i])
        cells.append(
            [
                rows[i], f"{int(use.limits[i]):,}", f"{int(far[i].sum())} of "
                f"{int(use.is_measured[i].sum())}", f"{kv:,}" if kv > 0 else None,
                *(format_bytes(size) if kv > 0 else None
                  for size in (own[0].full, *(cache.windowed for cache in own))),
            ]
        )  # fmt: skip
    title = f"KV cache of each layer at {count(use.tokens, 'token')}"
    return ChartTable("table-contextlayers", title, columns, cells)
