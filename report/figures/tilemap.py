"""The token × token map of a long prompt: all of it in tiles, a region of it, an exact window.

Queries downwards, keys to the right. Below the map and the region, aligned to their keys: what each
key receives from all queries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

from attentropy.report.figures.marks import (
    GREEN,
    PURPLE,
    Layers,
    data,
    down_scale,
    finished,
    rule,
    space,
    words,
    written,
    x_scale,
)

# Colours are of log10, from this share of a query's attention to all of it.
LEAST = 1e-4
_STRIP = 48
_LEGEND = 12
_ROWS = 6  # pixels between what stands one below the other


@dataclass(frozen=True)
class MapSize:
    """Pixels of a panel and between panels; side by side, or one below the other."""

    side: int
    gap: int
    beside: bool

    @property
    def part(self) -> tuple[int, int]:
        """Where the region's panel begins, from the first one's corner."""
        if self.beside:
            return self.side + self.gap, 0
        return 0, self.side + _STRIP + self.gap + 3 * _ROWS


WIDE, NARROW = MapSize(305, 58, True), MapSize(290, 44, False)

_X, _Y = ("0", "n"), ("0", "n")
_PART_X, _PART_Y = ("k0", "k1"), ("q0", "q1")
_WINDOW_X, _WINDOW_Y = ("wk0", "wk1"), ("wq0", "wq1")


def attentionmap(
    size: MapSize, state: Mapping[str, Any], datasets: Mapping[str, Sequence[Mapping[str, Any]]]
) -> dict[str, Any]:
    """The specification.

    Parameters: n, the region q0, q1, k0, k1, the window wq0, wq1, wk0, wk1, the
    strip's range r0, r1, colours. Datasets: map {url} of all tiles, exact {url} over the region,
    window {url}; received and receivedpart {x, y}; titles, numbers, legend."""
    overview = _panel(size, ["map"], _X, _Y, "maptitle", [
        _frame(size, PURPLE, _X, _Y, _PART_X, _PART_Y, 2.5),
        _frame(size, GREEN, _X, _Y, _WINDOW_X, _WINDOW_Y, 1.5),
        words("queries", x=alt.XValue(-6), y=down_scale("at:Q", *_Y), align="right",
              baseline="middle", fontSize=10),
        words("querytitle", x=alt.XValue(-6), y=alt.YValue(-8), align="right", baseline="bottom",
              fontSize=10),
    ])  # fmt: skip
    part = _panel(size, ["map", "exact"], _PART_X, _PART_Y, "parttitle", [
        _frame(size, GREEN, _PART_X, _PART_Y, _WINDOW_X, _WINDOW_Y, 2),
        _border(size, PURPLE),
    ])  # fmt: skip
    inset = _panel(size, ["window"], _WINDOW_X, _WINDOW_Y, "windowtitle", [_border(size, GREEN)])
    strips = [_strip(size, "received", _X), _strip(size, "receivedpart", _PART_X)]
    if size.beside:
        rows = (
            (overview, _aside(size, PURPLE, _Y, _PART_Y), part,
             _aside(size, GREEN, _PART_Y, _WINDOW_Y), inset),
            (strips[0], space(size.gap, _STRIP), strips[1], space(size.gap, _STRIP), _legend(size)),
        )  # fmt: skip
        cells, columns = [cell for row in rows for cell in row], 5
    else:
        between = [space(size.side, size.gap) for _ in range(3)]
        cells, columns = [
            overview, strips[0], between[0], part, strips[1], between[1], inset, between[2],
            _legend(size),
        ], 1  # fmt: skip
    views = {
        "concat": [written(cell) for cell in cells],
        "columns": columns,
        "spacing": {"row": _ROWS, "column": 0},
        "bounds": "flush",
    }
    return finished(views, state, datasets, {"left": 54, "right": 12, "top": 24, "bottom": 22})


def _panel(
    size: MapSize,
    images: Sequence[str],
    x: tuple[str, str],
    y: tuple[str, str],
    title: str,
    more: Sequence[alt.Chart | Layers],
) -> Layers:
    pictures = [
        data(name)
        .mark_image(aspect=False, smooth=False, clip=True)
        .encode(x=x_scale("x0:Q", *x), x2="x1", y=down_scale("y0:Q", *y), y2="y1", url="url:N")
        for name in images
    ]
    named = words(title, x=alt.XValue(0), y=alt.YValue(-8), align="left", baseline="bottom",
                  fontSize=11, limit=size.side + size.gap - 6)  # fmt: skip
    grey = (
        data("one")
        .mark_rect(filled=False, stroke="#888888", strokeWidth=1, fillOpacity=0)
        .encode(x=alt.XValue(0), x2=alt.X2Value(size.side), y=alt.YValue(0),
                y2=alt.Y2Value(size.side))
    )  # fmt: skip
    layers = alt.layer(*pictures, grey, *more, named)
    return layers.properties(width=size.side, height=size.side)


def _pixels(at: str, low: str, high: str, side: int) -> str:
    return f"clamp(({at} - {low}) / ({high} - {low}), 0, 1) * {side}"


def _frame(
    size: MapSize, color: alt.ExprRef, x: tuple[str, str], y: tuple[str, str],
    inner_x: tuple[str, str], inner_y: tuple[str, str], width: float,
) -> alt.Chart:  # fmt: skip
    """A rectangle of the panel that another panel shows; none where it lies outside."""
    meets = (
        f"{inner_x[1]} > {x[0]} && {inner_x[0]} < {x[1]} && "
        f"{inner_y[1]} > {y[0]} && {inner_y[0]} < {y[1]} ? 1 : 0"
    )
    left, right = (alt.ExprRef(_pixels(at, *x, size.side)) for at in inner_x)
    top, bottom = (alt.ExprRef(_pixels(at, *y, size.side)) for at in inner_y)
    return (
        data("one")
        .mark_rect(filled=False, stroke=color, strokeWidth=width, fillOpacity=0)
        .encode(
            x=alt.XValue(left), x2=alt.X2Value(right), y=alt.YValue(top), y2=alt.Y2Value(bottom),
            opacity=alt.OpacityValue(alt.ExprRef(meets)),
        )
    )  # fmt: skip


def _border(size: MapSize, color: alt.ExprRef) -> alt.Chart:
    return (
        data("one")
        .mark_rect(filled=False, stroke=color, strokeWidth=2.5, fillOpacity=0)
        .encode(x=alt.XValue(0), x2=alt.X2Value(size.side), y=alt.YValue(0),
                y2=alt.Y2Value(size.side))
    )  # fmt: skip


def _aside(size: MapSize, color: alt.ExprRef, y: tuple[str, str], inner: tuple[str, str]) -> Layers:
    """Lines from a rectangle's top and bottom to the panel that magnifies it."""
    top, bottom = (_pixels(at, *y, size.side) for at in inner)
    shown = alt.OpacityValue(alt.ExprRef(f"{inner[1]} > {y[0]} && {inner[0]} < {y[1]} ? 0.75 : 0"))
    lines = [
        rule(color, "0", f"{size.gap}", top, "0").encode(opacity=shown),
        rule(color, "0", f"{size.gap}", bottom, f"{size.side}").encode(opacity=shown),
    ]
    return alt.layer(*lines).properties(width=size.gap, height=size.side)


def _strip(size: MapSize, name: str, x: tuple[str, str]) -> Layers:
    """What keys receive, on a logarithmic scale, under the panel whose keys they are."""
    domain = [alt.ExprRef("r0"), alt.ExprRef("r1")]
    y = alt.Y("y:Q", axis=None, scale=alt.Scale(type="log", domain=domain, nice=False, clamp=True))
    area = (
        data(name)
        .mark_area(clip=True, color=alt.ExprRef("blue"), opacity=0.85, interpolate="step-after")
        .encode(x=x_scale("x:Q", *x), y=y, y2=alt.Y2Value(_STRIP))
    )
    below = words(f"{name}keys", x=x_scale("xc:Q", *x), y=alt.YValue(_STRIP + 12), align="center",
                  baseline="middle", fontSize=10)  # fmt: skip
    base = rule(alt.ExprRef("ink"), "0", f"{size.side}", f"{_STRIP}", f"{_STRIP}", opacity=0.5)
    ends = words(f"{name}ends", x=alt.XValue(-6), y=alt.Y("at:Q", axis=None, scale=alt.Scale(
        domain=[0, 1])), align="right", baseline="middle", fontSize=9)  # fmt: skip
    return (
        alt.layer(area, base, below, ends)
        .resolve_scale(y="independent")
        .properties(width=size.side, height=_STRIP)
    )


def _legend(size: MapSize) -> Layers:
    """The colours lie on the log10 of a share."""
    x = alt.X("x0:Q", axis=None, scale=alt.Scale(domain=[0, 1], nice=False, zero=False))
    ramp = (
        data("maplegend")
        .mark_rect()
        .encode(x=x, x2="x1", y=alt.YValue(18), y2=alt.Y2Value(18 + _LEGEND),
                fill=alt.Fill("fill:N", scale=None))
    )  # fmt: skip
    outline = (
        data("one")
        .mark_rect(filled=False, stroke="#888888", strokeWidth=0.5, fillOpacity=0)
        .encode(x=alt.XValue(0), x2=alt.X2Value(size.side), y=alt.YValue(18),
                y2=alt.Y2Value(18 + _LEGEND))
    )  # fmt: skip
    at = alt.X("at:Q", axis=None, scale=alt.Scale(domain=[0, 1], nice=False, zero=False))
    ticks = words("mapticks", x=at, y=alt.YValue(18 + _LEGEND + 11), align="center",
                  baseline="middle", fontSize=10)  # fmt: skip
    title = words("maplegendtitle", x=alt.XValue(0), y=alt.YValue(12), align="left",
                  baseline="bottom", fontSize=11)  # fmt: skip
    return alt.layer(ramp, outline, ticks, title).properties(width=size.side, height=_STRIP)
