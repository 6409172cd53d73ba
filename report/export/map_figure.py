"""The figure `map`: the attention map of one layer, in tiles for a long prompt."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from attentropy.engine.errors import AttentropyError, UsageError
from attentropy.engine.trace.dataset import Trace
from attentropy.report.export.choices import ExportChoices, head_index
from attentropy.report.export.csv_table import CsvTable, Line, token
from attentropy.report.export.figure_plan import FigurePlan, make_caption
from attentropy.report.figures import exact_weights
from attentropy.report.figures.exactmap import LEGEND, first_map
from attentropy.report.figures.specification import VegaLite
from attentropy.report.figures.tilemap import LEAST, MapSize
from attentropy.report.figures.tilemap_data import (
    first_state,
    first_tilemap,
    received_points,
    tiles_of,
)
from attentropy.report.findings.single import observe
from attentropy.report.read.attention_layers import attention_entry
from attentropy.report.read.maps import has_map, window_names
from attentropy.report.read.visible import is_causal

_COLUMNS = (
    "part", "layer", "head", "first query", "last query", "query token", "first key", "last key",
    "key token", "share of a query's attention", "attention received from all queries",
)  # fmt: skip
_SIDE_BY_SIDE = 640  # pixels from which on the panels stand side by side
_MOST_TILES = 1024  # per side: more cannot be seen on paper
_TITLE = "Attention map"


def plan(trace: Trace, choices: ExportChoices, pixels: int) -> FigurePlan:
    """Return the figure `map`.

    Raises:
        UsageError: a section of a prompt whose map is shown without a magnified region.
        AttentropyError: the trace has no map.
    """
    entry = attention_entry(trace, choices.layer, choices.head)
    if has_map(trace):
        return _plan_tiles(trace, choices, entry, pixels)
    if "window" in trace and trace.dataset.sizes["window_query"] > 1:
        return _plan_weights(trace, choices, entry)
    raise AttentropyError('the trace has no attention map; extract it with `map_tile="auto"`')


def _plan_tiles(trace: Trace, choices: ExportChoices, entry: int, pixels: int) -> FigurePlan:
    head = head_index(trace["map_head"], choices.head) or 0
    number = int(trace["map_head"][head])
    window = _first_window(trace, entry, number)
    side_by_side = pixels >= _SIDE_BY_SIDE

    def draw(width: int) -> VegaLite:
        gap = 50 if side_by_side else 44
        side = (width - 60 - 2 * gap) // 3 if side_by_side else width - 60
        size = MapSize(side, gap, side_by_side)
        return first_tilemap(trace, size, entry, head, choices.section, _MOST_TILES)

    state = first_state(trace, choices.section)
    places = "from left to right" if side_by_side else "from top to bottom"
    exact = ", exact weights (green)" if window is not None else ""
    caption = make_caption(
        trace, f"{_TITLE} ({_layer_and_head(trace, entry, number)})",
        f"Rows are queries, columns are keys; {places}: the whole prompt in tiles, queries and "
        f"keys {state['k0']:,} to {state['k1'] - 1:,} magnified (purple){exact}; empty: not "
        "visible.",
        f"Colour: share of a query's attention on a logarithmic scale, white {LEAST:g} or less, "
        f"mid-blue {LEAST**0.5:g}, dark blue 1.",
        "Blue: attention that each key receives from all queries, on a logarithmic scale."
        if "received" in trace else "",
        _finding(trace),
    )  # fmt: skip
    table = CsvTable(_COLUMNS, _tile_lines(trace, entry, head, window))
    return FigurePlan(draw, _TITLE, caption, table)


def _plan_weights(trace: Trace, choices: ExportChoices, entry: int) -> FigurePlan:
    """Return the map of a short prompt, whose exact weights are recorded as a whole."""
    if choices.section is not None:
        raise UsageError("the map already shows the whole prompt in detail; leave `section` out")
    names = trace["window_head"] if "window_head" in trace else np.array([-1])
    head_index(names, choices.head)
    window = exact_weights.window_weights(trace, "window", entry, choices.head)

    def draw(width: int) -> VegaLite:
        return first_map(trace, -1, entry, choices.head, width - 86 - LEGEND)

    number = -1 if window.mean else choices.head
    caption = make_caption(
        trace, f"{_TITLE} ({_layer_and_head(trace, entry, number)})",
        "Rows are queries, columns are keys; empty: not visible.",
        f"Colour: attention weight on a logarithmic scale, white {LEAST:g} or less, mid-blue "
        f"{LEAST**0.5:g}, dark blue 1; grey: missing.",
        _finding(trace),
    )  # fmt: skip
    table = CsvTable(_COLUMNS, _weight_lines(trace, entry, window, choices.head))
    return FigurePlan(draw, _TITLE, caption, table)


def _layer_and_head(trace: Trace, entry: int, head: int | None) -> str:
    heads = "mean over heads" if head is None or head < 0 else f"head {head}"
    return f"layer {int(trace['layer'][entry])}, {heads}"


def _first_window(trace: Trace, entry: int, head: int) -> exact_weights.WindowWeights | None:
    name = next(iter(window_names(trace)), None)
    return exact_weights.window_weights(trace, name, entry, head) if name is not None else None


def _finding(trace: Trace) -> str:
    findings = {finding.id: finding for finding in observe(trace)}
    best = findings.get("sinks") or findings.get("heads")
    return best.text if best is not None else ""


def _tile_lines(
    trace: Trace, entry: int, head: int, window: exact_weights.WindowWeights | None
) -> Iterator[Line]:
    """Yield the tiles, the weights of the exact window, and what each key receives."""
    map_tiles, causal = tiles_of(trace, entry, head, _MOST_TILES), is_causal(trace)
    layer, number = int(trace["layer"][entry]), int(trace["map_head"][head])
    name = "mean" if number < 0 else number
    for r, (q0, q1) in enumerate(pairwise(map_tiles.queries)):
        for c, (k0, k1) in enumerate(pairwise(map_tiles.keys)):
            if not (causal and k0 >= q1):
                share = map_tiles.shares[r, c]
                yield "tile", layer, name, q0, q1 - 1, None, k0, k1 - 1, None, share, None
    if window is not None:
        yield from _weight_lines(trace, entry, window, number)
    points = received_points(trace, entry, head)[0]
    n = trace.prompt_tokens
    starts = [*(int(point["x"]) for point in points), n]
    for point, (first, stop) in zip(points, pairwise(starts), strict=True):
        yield "received", layer, name, 0, n - 1, None, first, stop - 1, None, None, point["y"]


def _weight_lines(
    trace: Trace, entry: int, window: exact_weights.WindowWeights, head: int | None
) -> Iterator[Line]:
    """Yield the weight of every query on every key that is visible to it."""
    tokens, causal, layer = trace["token_text"], is_causal(trace), int(trace["layer"][entry])
    name = "mean" if window.mean else head
    for r, row in enumerate(window.values):
        query = window.query + r
        for c, value in enumerate(row):
            key = window.key + c
            if not (causal and key > query):
                yield (
                    "exact", layer, name, query, query, token(tokens, query), key, key,
                    token(tokens, key), value, None,
                )  # fmt: skip
