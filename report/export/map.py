"""The token × token map of one layer: of a long prompt in tiles, of a short one whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from attentropy.engine.errors import AttentropyError, UsageError
from attentropy.engine.trace.dataset import Trace
from attentropy.report.export.choices import Asked, head_of
from attentropy.report.export.csv import Table, token
from attentropy.report.export.plate import Plate, captioned
from attentropy.report.figures import weights
from attentropy.report.figures.exactmap import first_map
from attentropy.report.figures.tilemap import LEAST, MapSize
from attentropy.report.figures.tilemap_data import (
    first_attentionmap,
    first_state,
    received_points,
    tiles_of,
)
from attentropy.report.findings.single import observe
from attentropy.report.read.maps import has_map, window_names
from attentropy.report.read.visible import is_causal

_COLUMNS = (
    "part", "layer", "head", "first query", "last query", "query token", "first key", "last key",
    "key token", "share of a query's attention", "attention received from all queries",
)  # fmt: skip
_BESIDE = 640  # pixels from which on the panels stand side by side
_MOST = 1024  # tiles a side that a picture on paper can show
_TITLE = "Attention map"


def plate(trace: Trace, asked: Asked, pixels: int) -> Plate:
    """The figure `map`.

    Raises `UsageError` for a section of a prompt that is shown whole, `AttentropyError` where the
    trace holds no map.
    """
    entry = asked.layer or 0
    if has_map(trace):
        return _tiled(trace, asked, entry, pixels)
    if "window" in trace and trace.dataset.sizes["window_query"] > 1:
        return _whole(trace, asked, entry)
    raise AttentropyError(
        "the trace holds no attention map: record it with attentropy extract --map-tile auto"
    )


def _tiled(trace: Trace, asked: Asked, entry: int, pixels: int) -> Plate:
    head = head_of(trace["map_head"], asked.head) or 0
    name = int(trace["map_head"][head])
    state = first_state(trace, asked.section)
    window = _window(trace, entry, name)
    beside = pixels >= _BESIDE

    def draw(wide: int) -> dict[str, Any]:
        gap = 50 if beside else 44
        side = (wide - 60 - 2 * gap) // 3 if beside else wide - 60
        size = MapSize(side, gap, beside)
        return first_attentionmap(trace, size, entry, head, asked.section, _MOST)

    where = "left, middle, right" if beside else "from the top"
    exact = ", exact weights (green)" if window is not None else ""
    caption = captioned(
        trace, f"{_TITLE} ({_of(trace, entry, name)})",
        f"Queries downwards, keys to the right; {where}: the whole prompt in tiles, queries and "
        f"keys {state['k0']:,} to {state['k1'] - 1:,} magnified (purple){exact}; empty: not "
        "visible.",
        f"Colour: share of a query's attention on a logarithmic scale, white {LEAST:g} or less, "
        f"the middle {LEAST**0.5:g}, dark blue 1.",
        "Blue: attention that a key receives from all queries, on a logarithmic scale."
        if "received" in trace else "",
        _finding(trace),
    )  # fmt: skip
    return Plate(draw, _TITLE, caption, Table(_COLUMNS, _tile_lines(trace, entry, head, window)))


def _whole(trace: Trace, asked: Asked, entry: int) -> Plate:
    if asked.section is not None:
        raise UsageError("--section: the map of this prompt is whole; leave it out")
    names = trace["window_head"] if "window_head" in trace else np.array([-1])
    head_of(names, asked.head)
    held = weights.window(trace, "window", entry, asked.head)

    def draw(wide: int) -> dict[str, Any]:
        return first_map(trace, -1, entry, asked.head, wide - 70)

    caption = captioned(
        trace, f"{_TITLE} ({_of(trace, entry, -1 if held.mean else asked.head)})",
        "Queries downwards, keys to the right; empty: not visible.",
        "Colour: attention weight, white 0, the middle 0.5, dark blue 1; grey: missing.",
        _finding(trace),
    )  # fmt: skip
    return Plate(draw, _TITLE, caption, Table(_COLUMNS, _exact(trace, entry, held, asked.head)))


def _of(trace: Trace, entry: int, head: int | None) -> str:
    of = "mean over heads" if head is None or head < 0 else f"head {head}"
    return f"layer {int(trace['layer'][entry])}, {of}"


def _window(trace: Trace, entry: int, head: int) -> weights.Window | None:
    name = next(iter(window_names(trace)), None)
    return weights.window(trace, name, entry, head) if name is not None else None


def _finding(trace: Trace) -> str:
    found = {o.id: o for o in observe(trace)}
    best = found.get("sinks") or found.get("heads")
    return best.text if best is not None else ""


def _tile_lines(
    trace: Trace, entry: int, head: int, window: weights.Window | None
) -> Iterator[Sequence[Any]]:
    tiled, causal = tiles_of(trace, entry, head, _MOST), is_causal(trace)
    layer, name = int(trace["layer"][entry]), int(trace["map_head"][head])
    of: int | str = "mean" if name < 0 else name
    for r, (q0, q1) in enumerate(zip(tiled.queries, tiled.queries[1:], strict=False)):
        for c, (k0, k1) in enumerate(zip(tiled.keys, tiled.keys[1:], strict=False)):
            if not (causal and k0 >= q1):
                share = tiled.shares[r, c]
                yield "tile", layer, of, q0, q1 - 1, None, k0, k1 - 1, None, share, None
    if window is not None:
        yield from _exact(trace, entry, window, name)
    points = received_points(trace, entry, head)[0]
    n = trace.dataset.sizes["position"]
    for i, point in enumerate(points):
        stop = int(points[i + 1]["x"]) if i + 1 < len(points) else n
        first = int(point["x"])
        yield "received", layer, of, 0, n - 1, None, first, stop - 1, None, None, point["y"]


def _exact(
    trace: Trace, entry: int, held: weights.Window, head: int | None
) -> Iterator[Sequence[Any]]:
    """Single queries and keys, those that are visible."""
    tokens, causal, layer = trace["token_text"], is_causal(trace), int(trace["layer"][entry])
    of = "mean" if held.mean else head
    for r, row in enumerate(held.values):
        query = held.query + r
        for c, value in enumerate(row):
            key = held.key + c
            if not (causal and key > query):
                yield (
                    "exact", layer, of, query, query, token(tokens, query), key, key,
                    token(tokens, key), value, None,
                )  # fmt: skip
