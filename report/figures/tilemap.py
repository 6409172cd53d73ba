"""The attention map of a long prompt: the whole prompt in tiles, a region, and an exact window.

Queries run downwards, keys to the right. Strips below the map and the region show, aligned to their
keys, the attention that each key receives from all queries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import altair as alt

from attentropy.report.figures.crosshair import map_marks
from attentropy.report.figures.marks import (
    BLUE,
    GREEN,
    INK,
    PURPLE,
    blank,
    border,
    dataset,
    down_scale,
    outline,
    picture,
    rule,
    text_mark,
    x_scale,
)
from attentropy.report.figures.specification import (
    Datasets,
    Parameters,
    VegaLite,
    layer,
    specification,
)

# The colours are linear in log10 of a share, from this share of a query's attention to all of it.
LEAST = 1e-4
_STRIP = 48
_LEGEND = 12
_LEGEND_TOP = 18
_ROW_GAP = 6
_FRAME = 2.5  # pixels: the width of a frame's line

Ends = tuple[str, str]
"""The two ends of an axis, as expressions."""


@dataclass(frozen=True)
class MapSize:
    """The side of a panel and the gap between panels in pixels, and whether they stand in a row."""

    side: int
    gap: int
    side_by_side: bool

    @property
    def part(self) -> tuple[int, int]:
        """The left upper corner of the region's panel, from that of the first panel."""
        if self.side_by_side:
            return self.side + self.gap, 0
        return 0, self.side + _STRIP + self.gap + 3 * _ROW_GAP


WIDE, NARROW = MapSize(305, 58, True), MapSize(290, 44, False)

_X, _Y = ("0", "n"), ("0", "n")
_PART_X, _PART_Y = ("k0", "k1"), ("q0", "q1")
_WINDOW_X, _WINDOW_Y = ("wk0", "wk1"), ("wq0", "wq1")


def tilemap(size: MapSize, state: Parameters, datasets: Datasets) -> VegaLite:
    """Return the specification of the figure.

    Parameters: n, the region q0, q1, k0, k1, the window wq0, wq1, wk0, wk1, the range r0, r1 of the
    strips, col and hovercol (selected and hovered position), colours. Datasets: map {url} of all
    tiles, exact {url} over the region, window {url}; received and receivedpart {x, y}; titles,
    numbers, legend.
    """
    panels = _panels(size)
    strips = [_strip(size, "received", _X), _strip(size, "receivedpart", _PART_X)]
    legend = _legend(size)
    if size.side_by_side:
        between = [
            _connector(size, PURPLE, _Y, _PART_Y), _connector(size, GREEN, _PART_Y, _WINDOW_Y),
        ]  # fmt: skip
        gap = blank(size.gap, _STRIP)
        cells = [panels[0], between[0], panels[1], between[1], panels[2],
                 strips[0], gap, strips[1], gap, legend]  # fmt: skip
    else:
        gap = blank(size.side, size.gap)
        cells = [panels[0], strips[0], gap, panels[1], strips[1], gap, panels[2], gap, legend]
    views = {
        "concat": cells,
        "columns": 5 if size.side_by_side else 1,
        "spacing": {"row": _ROW_GAP, "column": 0},
        "bounds": "flush",
    }
    state = {"col": -1, "hovercol": -1, **state}
    return specification(views, state, datasets, {"left": 54, "right": 12, "top": 24, "bottom": 22})


def _panels(size: MapSize) -> tuple[VegaLite, VegaLite, VegaLite]:
    """Return the panels of the whole prompt, of the region and of the exact window."""
    overview = _panel(size, ["map"], _X, _Y, "maptitle", [
        _frame(size, PURPLE, (_X, _Y), (_PART_X, _PART_Y), _FRAME),
        _frame(size, GREEN, (_X, _Y), (_WINDOW_X, _WINDOW_Y), 1.5),
        text_mark("queries", x=alt.XValue(-6), y=down_scale("at:Q", *_Y), align="right",
                  baseline="middle", fontSize=10),
        text_mark("querytitle", x=alt.XValue(-6), y=alt.YValue(-8), align="right",
                  baseline="bottom", fontSize=10),
    ])  # fmt: skip
    region = _panel(size, ["map", "exact"], _PART_X, _PART_Y, "parttitle", [
        _frame(size, GREEN, (_PART_X, _PART_Y), (_WINDOW_X, _WINDOW_Y), 2),
        border(size.side, PURPLE, _FRAME),
    ])  # fmt: skip
    outline = border(size.side, GREEN, _FRAME)
    window = _panel(size, ["window"], _WINDOW_X, _WINDOW_Y, "windowtitle", [outline])
    return overview, region, window


def _panel(
    size: MapSize,
    images: Sequence[str],
    x: Ends,
    y: Ends,
    title: str,
    marks: Sequence[alt.Chart],
) -> VegaLite:
    """Return `images` on the axes x and y, with a border, a title and further marks."""
    pictures = [picture(name, x, down_scale("y0:Q", *y)) for name in images]
    title_mark = text_mark(title, x=alt.XValue(0), y=alt.YValue(-8), align="left",
                           baseline="bottom", fontSize=11,
                           limit=size.side + size.gap - 6)  # fmt: skip
    return layer(
        *pictures, border(size.side), *marks, *map_marks(size.side, x, y), title_mark,
        width=size.side, height=size.side,
    )  # fmt: skip


def _pixels(position: str, low: str, high: str, side: int) -> str:
    """Return the expression of a position in pixels of a panel, clamped to the panel."""
    return f"clamp(({position} - {low}) / ({high} - {low}), 0, 1) * {side}"


def _frame(
    size: MapSize, color: alt.ExprRef, outer: tuple[Ends, Ends], inner: tuple[Ends, Ends],
    width: float,
) -> alt.Chart:  # fmt: skip
    """Return the frame in the panel `outer` (x, y) around the part that `inner` (x, y) shows.

    The frame is invisible if that part lies outside of the panel.
    """
    (x, y), (inner_x, inner_y) = outer, inner
    opacity = (
        f"{inner_x[1]} > {x[0]} && {inner_x[0]} < {x[1]} && "
        f"{inner_y[1]} > {y[0]} && {inner_y[0]} < {y[1]} ? 1 : 0"
    )
    ends_x, ends_y = (
        (_pixels(inner[0], *ends, size.side), _pixels(inner[1], *ends, size.side))
        for ends, inner in ((x, inner_x), (y, inner_y))
    )
    return outline(color, ends_x, ends_y, width, opacity)


def _connector(size: MapSize, color: alt.ExprRef, y: Ends, inner: Ends) -> VegaLite:
    """Return lines from the top and bottom of a frame to the panel that magnifies it."""
    top, bottom = (_pixels(end, *y, size.side) for end in inner)
    opacity = alt.OpacityValue(
        alt.ExprRef(f"{inner[1]} > {y[0]} && {inner[0]} < {y[1]} ? 0.75 : 0")
    )
    lines = [
        rule(color, "0", f"{size.gap}", top, "0").encode(opacity=opacity),
        rule(color, "0", f"{size.gap}", bottom, f"{size.side}").encode(opacity=opacity),
    ]
    return layer(*lines, width=size.gap, height=size.side)


def _strip(size: MapSize, name: str, x: Ends) -> VegaLite:
    """Return the attention that the keys of the panel above receive, on a logarithmic scale."""
    domain = [alt.ExprRef("r0"), alt.ExprRef("r1")]
    y = alt.Y("y:Q", axis=None, scale=alt.Scale(type="log", domain=domain, nice=False, clamp=True))
    area = (
        dataset(name)
        .mark_area(clip=True, color=BLUE, opacity=0.85, interpolate="step-after")
        .encode(x=x_scale("x:Q", *x), y=y, y2=alt.Y2Value(_STRIP))
    )
    below = text_mark(f"{name}keys", x=x_scale("xc:Q", *x), y=alt.YValue(_STRIP + 12),
                      align="center",
                  baseline="middle", fontSize=10)  # fmt: skip
    base = rule(INK, "0", f"{size.side}", f"{_STRIP}", f"{_STRIP}", opacity=0.5)
    ends = text_mark(f"{name}ends", x=alt.XValue(-6), y=alt.Y("at:Q", axis=None, scale=alt.Scale(
        domain=[0, 1])), align="right", baseline="middle", fontSize=9)  # fmt: skip
    return layer(
        area,
        base,
        below,
        ends,
        resolve={"scale": {"y": "independent"}},
        width=size.side,
        height=_STRIP,
    )


def _legend(size: MapSize) -> VegaLite:
    """Return the legend, whose axis is log10 of a share of a query's attention."""
    bottom = _LEGEND_TOP + _LEGEND
    ramp = (
        dataset("maplegend")
        .mark_rect()
        .encode(x=_legend_axis("x0:Q"), x2=alt.X2("x1"), y=alt.YValue(_LEGEND_TOP),
                y2=alt.Y2Value(bottom),
                fill=alt.Fill("fill:N", scale=None))
    )  # fmt: skip
    outline = (
        dataset("one")
        .mark_rect(filled=False, stroke="#888888", strokeWidth=0.5, fillOpacity=0)
        .encode(x=alt.XValue(0), x2=alt.X2Value(size.side), y=alt.YValue(_LEGEND_TOP),
                y2=alt.Y2Value(bottom))
    )  # fmt: skip
    ticks = text_mark("mapticks", x=_legend_axis("at:Q"), y=alt.YValue(bottom + 11),
                      align="center", baseline="middle", fontSize=10)  # fmt: skip
    title = text_mark("maplegendtitle", x=alt.XValue(0), y=alt.YValue(12), align="left",
                      baseline="bottom", fontSize=11)  # fmt: skip
    return layer(ramp, outline, ticks, title, width=size.side, height=_STRIP)


def _legend_axis(field: str) -> alt.X:
    return alt.X(field, axis=None, scale=alt.Scale(domain=[0, 1], nice=False, zero=False))
