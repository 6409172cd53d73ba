"""The charts that a page opens with, as Vega-Lite specifications."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from attentropy.engine.trace.dataset import Trace
from attentropy.report import planes
from attentropy.report.content.profile_words import Chart
from attentropy.report.content.report import ChartsByWidth
from attentropy.report.figures import heatmap_data as cells
from attentropy.report.figures import roster, spread
from attentropy.report.figures import tilemap as attentionmap
from attentropy.report.figures import tilemap_data as openingmap
from attentropy.report.figures.bars import bars
from attentropy.report.figures.exactmap import first_map
from attentropy.report.figures.heatmap import heatmap
from attentropy.report.figures.placement import Placement
from attentropy.report.figures.sizes import Size
from attentropy.report.read import views
from attentropy.report.read.maps import first_layer, has_map, has_spread, opening_layer, score_names
from attentropy.report.read.views import View
from attentropy.report.scale import SHARES


def opening_charts(
    trace: Trace,
    shown: Sequence[View],
    attention: planes.AttentionPlanes | None,
    rows: Sequence[str],
    sizes: Mapping[str, Size],
    placed: Mapping[str, Placement],
) -> dict[str, ChartsByWidth]:
    """Return the charts by name and width: "figure", and those that the trace has values for.

    The others are "bars" of the details, "map" or "window", "spread" and "roster". The first of
    `shown` is the view that the figure opens with.
    """
    charts: dict[str, ChartsByWidth] = {"figure": _figure(trace, shown[0], rows, sizes, placed)}
    charts["bars"] = {"wide": bars()}
    if has_map(trace):
        both = (attentionmap.WIDE, attentionmap.NARROW)
        entry = opening_layer(trace)
        charts["map"] = _by_width(openingmap.first_tilemap(trace, size, entry) for size in both)
    elif "window" in trace and trace.dataset.sizes["window_query"] > 1:
        charts["window"] = {"wide": first_map(trace, placed["wide"].column, opening_layer(trace))}
    if attention is not None and has_spread(trace):
        layer = first_layer(attention)
        charts["spread"] = _by_width(
            spread.first_spread(trace, attention, layer, size, views.scale_end(trace, "attention"))
            for size in (spread.WIDE, spread.NARROW)
        )
    names = score_names(trace)
    if names:
        scales = [view.scale for view in shown if view.name == "attention"]
        charts["roster"] = _by_width(
            roster.first_roster(trace, names, rows, narrow, scales[0] if scales else SHARES)
            for narrow in (False, True)
        )
    return charts


def _figure(
    trace: Trace,
    view: View,
    rows: Sequence[str],
    sizes: Mapping[str, Size],
    placed: Mapping[str, Placement],
) -> ChartsByWidth:
    """Return the heatmap of each width."""
    charts = {}
    for width, size in sizes.items():
        data = cells.datasets(trace, size, placed[width], view, rows)
        state = cells.state(trace, size, placed[width], view)
        charts[width] = heatmap(size, state, data)
    return charts


def _by_width(charts: Iterable[Chart]) -> ChartsByWidth:
    """Return a wide and a narrow chart by their widths."""
    return dict(zip(("wide", "narrow"), charts, strict=True))
