"""The figure: overview, section, inset, their connectors, the box, the legend, in one chart.

Positions that move (frame, section, inset) are parameters, and what is drawn comes from named
datasets, so that the page changes a view by setting them and never writes a specification.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from attentropy.report.figures.marks import (
    BLUE,
    GREEN,
    PURPLE,
    Layers,
    data,
    finished,
    frame,
    rule,
    space,
    tile,
    words,
    written,
    x_scale,
    y_scale,
)
from attentropy.report.figures.pins import (
    frames,
    matches_above,
    matches_below,
    numbered_cells,
    numbered_columns,
)
from attentropy.report.figures.sizes import CAPTION, FUNNEL, LABELS, STRIP, Size


def heatmap(
    size: Size, state: Mapping[str, Any], datasets: Mapping[str, Sequence[Mapping[str, Any]]]
) -> dict[str, Any]:
    """The specification. `state` gives the parameters' first values (see `cells.state`):

    n positions, rowcount, a and b (section), col (inset), box0 and box1, colours, font sizes.
    `datasets`: tile {url} of the overview and part {url} of the section, cells, columns, rows,
    inset, insetrows, insetcols, legend, ticks, words; pins, matches, matchespart (see `pinned`).
    """
    top = _overview_chart(size)
    funnel = _funnel_chart(size)
    # One flat grid: nested charts would count as empty when only inner sizes are aligned.
    grid = (
        (_inset_title(size), _arrow(size), space(size.legend, STRIP)),
        (_inset(size), _section(size), _legend(size)),
        (_inset_columns(size), _column_labels(size), space(size.legend, LABELS)),
        (space(size.inset, CAPTION), _caption(size), space(size.legend, CAPTION)),
    )
    body = {
        "concat": [written(part) for row in grid for part in row],
        "columns": 3,
        "align": "each",
        "bounds": "flush",
        "spacing": {"row": 0, "column": size.gap},
    }
    views = {"vconcat": [written(top), written(funnel), body], "spacing": 0, "bounds": "flush"}
    beside = size.inset > 100
    padding = {
        "left": 44 if beside else 28, "right": 42 if beside else 26, "top": 16, "bottom": 4,
    }  # fmt: skip
    return finished(views, state, datasets, padding)


def _overview_chart(size: Size) -> Layers:
    scale = size.total
    return alt.layer(
        tile("tile", "0", "n"),
        frame(PURPLE, f"a / n * {scale}", f"b / n * {scale}", size.overview, 2.5),
        rule(
            GREEN, f"(col + 0.5) / n * {scale}", f"(col + 0.5) / n * {scale}",
            f"{size.overview}", f"{size.overview} + 6", strokeWidth=2,
        ),
        words(
            "overviewlabels",
            x=alt.XValue(-6), y=alt.Y("y:Q", axis=None, scale=alt.Scale(domain=[0, 1])),
            align="right", baseline="middle", fontSize=10,
        ),
        words(
            "overviewtitle", x=alt.XValue(0), y=alt.YValue(-6),
            align="left", baseline="bottom", fontSize=11,
        ),
        frames("0", "n"),
        numbered_columns(size.overview),
        matches_above(),
    ).resolve_scale(y="independent").properties(width=size.total, height=size.overview)  # fmt: skip


def _funnel_chart(size: Size) -> Layers:
    left, right = f"a / n * {size.total}", f"b / n * {size.total}"
    height = f"{FUNNEL + STRIP}"
    return alt.layer(
        rule(PURPLE, left, f"{size.left}", "0", height, opacity=0.75),
        rule(PURPLE, right, f"{size.total}", "0", height, opacity=0.75),
    ).properties(width=size.total, height=FUNNEL)


def _inside(size: Size, position: str) -> str:
    """Pixels of a position in the section, kept within it: what lies outside still has bounds."""
    return f"clamp(({position} - a) / (b - a), 0, 1) * {size.section}"


def _column(size: Size, offset: float) -> str:
    return _inside(size, f"col + {offset}")


_BOX_SHOWN = "box1 > a && box0 < b && box1 > box0 ? 1 : 0"
_COLUMN_SHOWN = "col >= a && col < b ? 1 : 0"


def _arrow(size: Size) -> Layers:
    """From the inset to the top of its column: along the strip above the section, then down."""
    middle = _column(size, 0.5)
    shown = alt.OpacityValue(alt.ExprRef(_COLUMN_SHOWN))
    head = (
        data("one")
        .mark_point(shape="triangle-down", color=GREEN, filled=True, size=90)
        .encode(x=alt.XValue(alt.ExprRef(middle)), y=alt.YValue(STRIP - 5), opacity=shown)
    )
    line = {"strokeWidth": 2}
    return alt.layer(
        rule(GREEN, f"-{size.gap}", middle, "14", "14", **line).encode(opacity=shown),
        rule(GREEN, middle, middle, "13", f"{STRIP - 8}", **line).encode(opacity=shown),
        head,
    ).properties(width=size.section, height=STRIP)


def _section(size: Size) -> Layers:
    x, y = x_scale("x0:Q", "a", "b"), y_scale("y0:Q", "rowcount")
    cells = data("cells").encode(x=x, y=y)
    box = [_inside(size, name) for name in ("box0", "box1")]
    return alt.layer(
        tile("part", "a", "b"),
        cells.mark_rect(clip=True, stroke="#ffffff", strokeWidth=0.6, strokeOpacity=0.7).encode(
            x2="x1", y2="y1", fill=alt.Fill("fill:N", scale=None)
        ),
        data("cells")
        .mark_text(clip=True, fontSize=alt.ExprRef("cellfont"))
        .encode(
            x=x_scale("xc:Q", "a", "b"), y=y_scale("yc:Q", "rowcount"), text="text:N",
            color=alt.Color("tint:N", scale=None),
        ),
        words(
            "rows", x=alt.XValue(-7), y=y_scale("yc:Q", "rowcount"), align="right",
            baseline="middle", fontSize=11,
        ),
        frame(PURPLE, "0", f"{size.section}", size.height, 2.5),
        frame(BLUE, box[0], box[1], size.height + LABELS, 2.5, _BOX_SHOWN),
        frame(GREEN, _column(size, 0), _column(size, 1), size.height, 2.5, _COLUMN_SHOWN),
        frames("a", "b"),
        *numbered_cells(),
        words(
            "rowtitle", x=alt.XValue(13 - size.gap), y=alt.YValue(size.height / 2),
            align="center", baseline="bottom", angle=270, fontSize=11,
        ),
    ).properties(width=size.section, height=size.height)  # fmt: skip


def _column_labels(size: Size) -> Layers:
    labels = words(
        "columns", x=x_scale("xc:Q", "a", "b"), y=alt.YValue(LABELS / 2), align="center",
        baseline="middle", fontSize=alt.ExprRef("labelfont"), clip=True,
    )  # fmt: skip
    return alt.layer(labels, matches_below()).properties(width=size.section, height=LABELS)


def _caption(size: Size) -> Layers:
    """Below the box, its right end under the box's: the box stands at the prompt's end."""
    right = _inside(size, "box1")
    return alt.layer(
        data("caption")
        .mark_text(
            align="right", baseline="middle", fontWeight="bold", color=BLUE,
            fontSize=12 if size.inset > 100 else 9, limit=size.total,
        )
        .encode(
            x=alt.XValue(alt.ExprRef(right)), y=alt.YValue(CAPTION / 2 + 2), text="text:N",
            opacity=alt.OpacityValue(alt.ExprRef(_BOX_SHOWN)),
        )
    ).properties(width=size.section, height=CAPTION)  # fmt: skip


def _inset_title(size: Size) -> alt.Chart:
    return words(
        "insettitle", x=alt.XValue(0), y=alt.YValue(STRIP - 10), align="left", baseline="bottom",
        fontSize=11,
    ).properties(width=size.inset, height=STRIP)  # fmt: skip


def _inset(size: Size) -> Layers:
    def x(field: str) -> alt.X:
        return x_scale(field, "0", "insetwidth")

    def y(field: str) -> alt.Y:
        return y_scale(field, "insetheight")

    return alt.layer(
        data("inset")
        .mark_rect(stroke="#ffffff", strokeWidth=0.6)
        .encode(x=x("x0:Q"), x2="x1", y=y("y0:Q"), y2="y1", fill=alt.Fill("fill:N", scale=None)),
        data("inset")
        .mark_text(fontSize=alt.ExprRef("insetfont"))
        .encode(x=x("xc:Q"), y=y("yc:Q"), text="text:N", color=alt.Color("tint:N", scale=None)),
        words(
            "insetrows", x=alt.XValue(-5), y=y("yc:Q"), align="right", baseline="middle",
            fontSize=10,
        ),
        frame(GREEN, "0", f"{size.inset}", size.height, 2.5),
    ).properties(width=size.inset, height=size.height)  # fmt: skip


def _inset_columns(size: Size) -> alt.Chart:
    return words(
        "insetcolumns", x=x_scale("xc:Q", "0", "insetwidth"), y=alt.YValue(LABELS / 2),
        align="center", baseline="middle", fontSize=alt.ExprRef("labelfont"),
    ).properties(width=size.inset, height=LABELS)  # fmt: skip


def _legend(size: Size) -> Layers:
    y = alt.Y("y0:Q", axis=None, scale=alt.Scale(domain=[0, 1], nice=False, zero=False))
    ramp = (
        data("legend")
        .mark_rect()
        .encode(x=alt.XValue(0), x2=alt.X2Value(size.legend), y=y, y2="y1",
                fill=alt.Fill("fill:N", scale=None))
    )  # fmt: skip
    ticks = words(
        "ticks", x=alt.XValue(size.legend + 5),
        y=alt.Y("y:Q", axis=None, scale=alt.Scale(domain=[0, 1], nice=False, zero=False)),
        align="left", baseline="middle", fontSize=11,
    )  # fmt: skip
    title = words(
        "legendtitle", x=alt.XValue(size.legend + 22), y=alt.YValue(-10), align="right",
        baseline="bottom", fontSize=11,
    )  # fmt: skip
    return alt.layer(ramp, ticks, title).properties(width=size.legend, height=size.height)
