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
    first four tokens, `far_mass` that which goes further than half the prompt (`ContextUse.half`);
    `limit`: the keys that its layer lets a query see.
    """

    entry: int
    layer: int
    head: int
    windows: tuple[int, int]
    beyond: tuple[float, float]
    first_keys: float
    far_mass: float
    limit: int


def head_windows(use: ContextUse) -> list[HeadWindow]:
    """Return the windows of all measured heads, the largest first; equal ones by `far_mass`."""
    windows = [use.windows(share) for share in SHARES]
    beyond = [use.beyond(share) for share in SHARES]
    far = use.mass[..., use.bins >= use.half].sum(-1)
    rows = [
        HeadWindow(
            int(entry), int(use.layers[entry]), int(head),
            (int(windows[0][entry, head]), int(windows[1][entry, head])),
            (float(beyond[0][entry, head]), float(beyond[1][entry, head])),
            float(use.mass[entry, head, 0]), float(far[entry, head]), int(use.limits[entry]),
        )
        for entry, head in np.argwhere(use.is_measured)
    ]  # fmt: skip
    return sorted(rows, key=lambda row: (*(-size for size in row.windows), -row.far_mass))


def context_tables(use: ContextUse, rows: Sequence[str]) -> dict[str, ChartTable]:
    """Return the table of the heads, and that of the layers; `rows` are the layers' labels."""
    return {"context": _of_heads(use, rows), "contextlayers": _of_layers(use, rows)}


def _of_heads(use: ContextUse, rows: Sequence[str]) -> ChartTable:
    heads = head_windows(use)
    title = f"Windows of the {count(len(heads), 'head')}, the largest first"
    if len(heads) > _HEADS:
        title = f"The {_HEADS} heads (of {len(heads):,}) with the largest windows"
    columns = [Column("head", number=False)]
    for share in SHARES:
        group = f"{percent(share)} of the rest"
        columns += [Column(name, group=group) for name in ("window (tokens)", "queries beyond")]
    columns += [
        Column(name, group="share of attention")
        for name in ("first four tokens", f"{use.half:,} or more back")
    ]
    cells = [
        [f"L{rows[one.entry]}H{one.head}", *_pairs(one), percent(one.first_keys),
         percent(one.far_mass)]
        for one in heads[:_HEADS]
    ]  # fmt: skip
    return ChartTable("table-context", title, columns, cells)


def _pairs(head: HeadWindow) -> Iterator[Cell]:
    """Yield each window, and the share of queries that see beyond it."""
    for size, beyond in zip(head.windows, head.beyond, strict=True):
        yield f"all {size:,}" if size >= head.limit else f"{size:,}"
        yield "none" if beyond == 0 else percent(beyond)


def _key_heads(use: ContextUse, rows: Sequence[str], layer: int) -> str | None:
    """Return how many heads of keys a layer has, or which layer's it reads; None: not known."""
    count, entry = int(use.cache_heads[layer]), int(use.cache_entry[layer])
    if entry != layer and entry >= 0:
        return f"those of layer {rows[entry]}"
    return f"{count:,}" if count > 0 else None


def _of_layers(use: ContextUse, rows: Sequence[str]) -> ChartTable:
    names = ("keys that a query sees", f"heads over {use.half:,}", "key/value heads")
    columns = [
        Column("layer", number=False),
        *map(Column, names),
        Column("whole", group="KV cache"),
    ]
    columns += [Column(f"windows for {percent(share)}", group="KV cache") for share in SHARES]
    far = use.is_far()
    caches = [use.caches(share) for share in SHARES]
    cells: list[list[Cell]] = []
    for i in np.flatnonzero(use.is_measured.any(1)).tolist():
        heads = f"{int(far[i].sum())} of {int(use.is_measured[i].sum())}"
        sizes = (caches[0][i].full, *(cache[i].windowed for cache in caches))
        cells.append(
            [rows[i], f"{int(use.limits[i]):,}", heads, _key_heads(use, rows, i),
             *(format_bytes(size) if size else None for size in sizes)]
        )  # fmt: skip
    title = f"KV cache of each layer at {count(use.tokens, 'token')}"
    return ChartTable("table-contextlayers", title, columns, cells)
