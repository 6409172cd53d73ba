"""The charts that a page opens with, as Vega-Lite specifications."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from attentropy.engine.trace.dataset import Trace
from attentropy.report import planes
from attentropy.report.content.profile_words import Chart
from attentropy.report.content.report import ChartsByWidth
from attentropy.report.figures import context_chart as context
from attentropy.report.figures import effects_chart as effects
from attentropy.report.figures import exactmap, headgrid, spread
from attentropy.report.figures import heatmap_data as cells
from attentropy.report.figures import tilemap as attentionmap
from attentropy.report.figures import tilemap_data as openingmap
from attentropy.report.figures.bars import bars
from attentropy.report.figures.context_chart import context_chart
from attentropy.report.figures.effect_legend import effect_legend
from attentropy.report.figures.effects_chart import effects_chart
from attentropy.report.figures.exactmap import first_map
from attentropy.report.figures.headgrid_data import first_grid
from attentropy.report.figures.heatmap import heatmap
from attentropy.report.figures.hidden_sources import HiddenWord
from attentropy.report.figures.hidden_strip import hidden_strip
from attentropy.report.figures.placement import Placement
from attentropy.report.figures.reading_strips import line_strip, minimap
from attentropy.report.figures.sizes import Size
from attentropy.report.findings.head_roles import head_columns
from attentropy.report.read import views
from attentropy.report.read.maps import first_layer, has_map, has_spread
from attentropy.report.read.opening_map import opening_map
from attentropy.report.read.sources import read_sources
from attentropy.report.read.views import View
from attentropy.report.scale import SHARES


def opening_charts(
    trace: Trace,
    shown: Sequence[View],
    attention: planes.AttentionPlanes | None,
    rows: Sequence[str],
    sizes: Mapping[str, Size],
    placed: Mapping[str, Placement],
    opened: View,
    is_long: bool,
    hidden: HiddenWord | None = None,
) -> dict[str, ChartsByWidth]:
    """Return the charts by name and width: "figure", and those that the trace has values for.

    The others are "bars" of the details, "map" or "window", "spread", "context", the grids of all
    heads ("grid" on the first screen, "roster" in their section), and where the text is long its
    "minimap" and "lines". `opened` is the view that the figure opens with, on the scale that it
    opens with, `hidden` the word whose columns of hidden sources it has.
    """
    charts: dict[str, ChartsByWidth] = {
        "figure": _figure(trace, opened, rows, sizes, placed, hidden)
    }
    charts["bars"] = {"wide": bars()}
    if sources := read_sources(trace):
        charts["effectlegend"] = {"wide": effect_legend()}
        charts["effects"] = _by_width(
            effects_chart(sources, width) for width in (effects.WIDE, effects.NARROW)
        )
        if hidden is not None:
            charts["hiddenstrip"] = {"wide": hidden_strip(hidden, rows)}
    if is_long:
        charts["minimap"] = {"wide": minimap(trace.dataset.sizes["position"])}
        charts["lines"] = {"wide": line_strip(len(rows))}
    if has_map(trace):
        both = (attentionmap.WIDE, attentionmap.NARROW)
        opens = opening_map(trace)
        charts["map"] = _by_width(
            openingmap.first_tilemap(trace, size, opens.entry, opens.head) for size in both
        )
    elif "window" in trace and trace.dataset.sizes["window_query"] > 1:
        opens = opening_map(trace)
        column = placed["wide"].column
        charts["window"] = _by_width(
            first_map(trace, column, opens.entry, opens.number, side)
            for side in (exactmap.WIDE, exactmap.NARROW)
        )
    if attention is not None and has_spread(trace):
        layer = first_layer(attention)
        charts["spread"] = _by_width(
            spread.first_spread(trace, attention, layer, size, views.scale_end(trace, "attention"))
            for size in (spread.WIDE, spread.NARROW)
        )
    if (use := trace.context_use()) is not None:
        charts["context"] = _by_width(
            context_chart(use, rows, width) for width in (context.WIDE, context.NARROW)
        )
    heads = len(head_columns(trace))
    if heads:
        scales = [view.scale for view in shown if view.name == "attention"]
        scale = scales[0] if scales else SHARES
        charts["grid"] = {
            "wide": first_grid(trace, headgrid.card_size(len(rows), heads), rows, scale)
        }
        charts["roster"] = _by_width(
            first_grid(trace, headgrid.section_size(len(rows), heads, narrow), rows, scale)
            for narrow in (False, True)
        )
    return charts


def _figure(
    trace: Trace,
    view: View,
    rows: Sequence[str],
    sizes: Mapping[str, Size],
    placed: Mapping[str, Placement],
    hidden: HiddenWord | None,
) -> ChartsByWidth:
    """Return the heatmap of each width."""
    charts = {}
    for width, size in sizes.items():
        data = cells.datasets(trace, size, placed[width], view, rows, hidden=hidden)
        state = cells.state(trace, size, placed[width], view)
        charts[width] = heatmap(size, state, data)
    return charts


def _by_width(charts: Iterable[Chart]) -> ChartsByWidth:
    """Return a wide and a narrow chart by their widths."""
    return dict(zip(("wide", "narrow"), charts, strict=True))
