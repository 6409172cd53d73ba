"""The page's figures for one trace: the chart that opens, and the specifications that move."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from attentropy.engine.trace.dataset import Trace
from attentropy.report import planes
from attentropy.report.figures import heatmap_data as cells
from attentropy.report.figures import roster, spread
from attentropy.report.figures import tilemap as attentionmap
from attentropy.report.figures import tilemap_data as openingmap
from attentropy.report.figures.exactmap import first_map
from attentropy.report.figures.heatmap import heatmap
from attentropy.report.figures.placement import Placement
from attentropy.report.figures.sizes import Size
from attentropy.report.pack.encode import deflated
from attentropy.report.read import views
from attentropy.report.read.maps import first_layer, has_map, has_spread, scored
from attentropy.report.read.views import View

# Datasets that the script fills before anybody sees them.
_FILLED = {
    "tile", "part", "cells", "inset", "map", "exact", "window", "received", "receivedpart",
    "heads", "scores",
}  # fmt: skip


@dataclass(frozen=True)
class Drawing:
    """`charts` are the Vega-Lite specifications of what opens, `specs` the deflated Vega ones,
    both by width."""

    charts: dict[str, dict[str, Any]]
    specs: dict[str, str]


def drawings(
    trace: Trace,
    shown: Sequence[View],
    attention: planes.Attention | None,
    rows: Sequence[str],
    sizes: Mapping[str, Size],
    placed: Mapping[str, Placement],
) -> dict[str, Drawing]:
    """`figure`, and of `window`, `map`, `spread`, `roster` those that the trace has values for."""
    found = {}
    charts = {}
    for name, size in sizes.items():
        data = cells.datasets(trace, size, placed[name], shown[0], rows)
        state = cells.state(trace, size, placed[name], len(rows))
        charts[name] = heatmap(size, state, data)
    found["figure"] = _drawing(charts)
    if has_map(trace):
        both = (attentionmap.WIDE, attentionmap.NARROW)
        found["map"] = _drawing(_widths(openingmap.first_attentionmap(trace, s) for s in both))
    elif "window" in trace and trace.dataset.sizes["window_query"] > 1:
        found["window"] = _drawing({"wide": first_map(trace, placed["wide"].column)})
    high = views.high(trace, "attention")
    if attention is not None and has_spread(trace):
        layer = first_layer(attention)
        both_sizes = (spread.WIDE, spread.NARROW)
        made = (spread.first_spread(trace, attention, layer, s, high) for s in both_sizes)
        found["spread"] = _drawing(_widths(made))
    names = scored(trace)
    if names:
        made = (roster.first_roster(trace, names, rows, slim, high) for slim in (False, True))
        found["roster"] = _drawing(_widths(made))
    return found


def _widths(charts: Any) -> dict[str, dict[str, Any]]:
    return dict(zip(("wide", "narrow"), charts, strict=True))


def _drawing(charts: dict[str, dict[str, Any]]) -> Drawing:
    return Drawing(charts, {name: _spec(chart) for name, chart in charts.items()})


def _spec(chart: dict[str, Any]) -> str:
    """The Vega specification, its pictures taken from the script's canvases."""
    import vl_convert

    vega: dict[str, Any] = vl_convert.vegalite_to_vega(chart)
    for dataset in vega["data"]:
        if dataset["name"] in _FILLED:
            dataset["values"] = []
    _let_canvases_in(vega)
    return deflated(json.dumps(vega, separators=(",", ":"), sort_keys=True).encode())


def _let_canvases_in(group: dict[str, Any]) -> None:
    """Image marks draw the field `image`, a canvas, where a row has no address: at once, without
    coding and decoding a picture."""
    for mark in group.get("marks", []):
        if mark.get("type") == "image":
            mark["encode"]["update"]["url"] = {"field": "url"}
            mark["encode"]["update"]["image"] = {"field": "image"}
        _let_canvases_in(mark)


def places(trace: Trace) -> dict[str, Any]:
    """Where on the charts the script finds what a pointer is over, and what opens."""
    both = {"wide": attentionmap.WIDE, "narrow": attentionmap.NARROW}
    found: dict[str, Any] = {
        "mapHeads": 0,
        "mapSizes": {name: {"side": size.side, "part": size.part} for name, size in both.items()},
    }
    if has_map(trace):
        state = openingmap.first_state(trace)
        found["mapHeads"] = trace.dataset.sizes["map_head"]
        found["region"] = {name: state[name] for name in ("q0", "q1", "k0", "k1")}
    scores = scored(trace)
    if scores:
        layers, heads = trace[f"head_{scores[0]}"].shape
        found["rosterSizes"] = {
            "wide": roster.pixels(layers, heads, False),
            "narrow": roster.pixels(layers, heads, True),
        }
    return found
