"""The two strips next to a long text: a map of the whole of it, and the lines in view by layer.

Both are as high as the text, which the page's script says (`height`), and the script fills them.
"""

from __future__ import annotations

import altair as alt

from attentropy.report.figures.marks import (
    INK,
    ORANGE,
    PURPLE,
    dataset,
    down_scale,
    x_scale,
)
from attentropy.report.figures.specification import VegaLite, layer, specification
from attentropy.report.palette import LIGHT

MAP_WIDTH, LINES_WIDTH = 56, 44
_HEIGHT = 76  # pixels, before the script says more
_TURNS = 5  # pixels of the turns' lane
_PADDING = dict.fromkeys(("left", "right", "top", "bottom"), 0)


def minimap(positions: int) -> VegaLite:
    """Return the map of a text of so many positions, the first at the top.

    Datasets: `miniparts` (pictures of layers × positions), `miniturns` (y0, y1, fill) in a lane at
    the left, `minihits` (y0) of the search, `miniview` (y0, y1), which is in view, `miniselected`.
    """
    y = down_scale("y0:Q", 0, positions)
    lane = dataset("miniturns").mark_rect()
    views = layer(
        _pictures("miniparts", _TURNS + 1, MAP_WIDTH, y),
        lane.encode(
            x=alt.XValue(0), x2=alt.X2Value(_TURNS), y=y, y2=alt.Y2("y1"),
            fill=alt.Fill("fill:N", scale=None),
        ),
        _line("minihits", y, ORANGE, 1.5, _TURNS),
        _line("miniselected", y, INK, 1.5, _TURNS),
        dataset("miniview")
        .mark_rect(filled=False, stroke=PURPLE, strokeWidth=2, fillOpacity=0)
        .encode(x=alt.XValue(1), x2=alt.X2Value(MAP_WIDTH - 1), y=y, y2=alt.Y2("y1")),
        width=MAP_WIDTH, height=_HEIGHT,
    )  # fmt: skip
    empty = dict.fromkeys(("miniparts", "miniturns", "minihits", "miniview", "miniselected"), ())
    return specification(views, dict(LIGHT), empty, _PADDING)


def line_strip(layers: int) -> VegaLite:
    """Return the lines of text in view as rows of `layers` cells, layer 0 at the left.

    The dataset `lineparts` has a picture per line, (y0, y1) in pixels from the top.
    """
    y = alt.Y("y0:Q", axis=None, scale=None)
    views = layer(
        dataset("lineparts")
        .mark_image(aspect=False, smooth=False, clip=True)
        .encode(
            x=x_scale("x0:Q", 0, layers), x2=alt.X2("x1"), y=y, y2=alt.Y2("y1"),
            url=alt.Url("url:N"),
        ),
        width=LINES_WIDTH, height=_HEIGHT,
    )  # fmt: skip
    return specification(views, dict(LIGHT), {"lineparts": ()}, _PADDING)


def _pictures(name: str, left: int, right: int, y: alt.Y) -> alt.Chart:
    """Return the pictures of a dataset, as wide as from `left` to `right`, in pixels."""
    chart: alt.Chart = (
        dataset(name)
        .mark_image(aspect=False, smooth=False)
        .encode(
            x=alt.XValue(left), x2=alt.X2Value(right), y=y, y2=alt.Y2("y1"), url=alt.Url("url:N")
        )
    )
    return chart


def _line(name: str, y: alt.Y, color: alt.ExprRef, width: float, left: int) -> alt.Chart:
    """Return a line across the map for each row of a dataset."""
    chart: alt.Chart = (
        dataset(name)
        .mark_rule(color=color, strokeWidth=width)
        .encode(x=alt.XValue(left), x2=alt.X2Value(MAP_WIDTH), y=y)
    )
    return chart
