"""The figure: overview, section, inset, their connectors, the box, the legend, in one chart.

Positions that move (frame, section, inset) are parameters, and what is drawn comes from named
datasets, so that the page changes a view by setting them and never writes a specification.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

STRIP = 34
_FUNNEL = 30
_LABELS = 26
_CAPTION = 30

# Frame of the section, of the inset, of the dummy tokens: parameters, since the dark page differs.
PURPLE, GREEN, BLUE = (alt.ExprRef(name) for name in ("purple", "green", "blue"))
FONT = "system-ui, -apple-system, 'Segoe UI', 'Noto Sans', 'DejaVu Sans', sans-serif"


@dataclass(frozen=True)
class Size:
    """Pixels of the parts; `columns` is how many positions a section shows at first."""

    inset: int
    gap: int
    section: int
    legend: int
    height: int
    overview: int
    columns: int

    @property
    def left(self) -> int:
        """Where the section begins."""
        return self.inset + self.gap

    @property
    def total(self) -> int:
        """Width of inset and section together: that of the overview."""
        return self.left + self.section

    @property
    def inset_letters(self) -> int:
        """How many letters of a token fit into the inset."""
        return self.inset // 12

    @property
    def above(self) -> int:
        """Height of what lies between overview and section."""
        return _FUNNEL + STRIP


def wide(rows: int) -> Size:
    """For a screen or a page's full width."""
    return Size(150, 60, 740, 14, _height(rows), _overview(rows), 12)


def narrow(rows: int) -> Size:
    """For a telephone."""
    return Size(58, 26, 168, 8, _height(rows), _overview(rows), 4)


def _height(rows: int) -> int:
    return max(140, min(900, round(rows * max(13, min(36, 420 / rows)))))


def _overview(rows: int) -> int:
    return max(56, min(120, rows * 7))


def heatmap(
    size: Size, state: Mapping[str, Any], datasets: Mapping[str, Sequence[Mapping[str, Any]]]
) -> alt.VConcatChart:
    """The chart. `state` gives the parameters' first values (see `page.first_state`):

    n positions, rowcount, a and b (section), col (inset), box0 and box1, colours, font sizes.
    `datasets`: tile {url}, cells, columns, rows, inset, insetrows, insetcols, legend, ticks, words.
    """
    top = _overview_chart(size)
    funnel = _funnel_chart(size)
    # One flat grid: nested charts would count as empty when only inner sizes are aligned.
    grid = (
        (_inset_title(size), _arrow(size), _space(size.legend, STRIP)),
        (_inset(size), _section(size), _legend(size)),
        (_inset_columns(size), _column_labels(size), _space(size.legend, _LABELS)),
        (_space(size.inset, _CAPTION), _caption(size), _space(size.legend, _CAPTION)),
    )
    spacing = {"row": 0, "column": size.gap}
    body = alt.concat(
        *(part for row in grid for part in row), columns=3, align="each", bounds="flush",
        spacing=spacing,
    )  # fmt: skip
    chart = alt.vconcat(top, funnel, body, spacing=0, bounds="flush")
    params = [alt.param(name=name, value=value) for name, value in state.items()]
    chart = chart.add_params(*params)
    chart.datasets = {name: list(rows) for name, rows in datasets.items()}
    return (
        chart.configure(font=FONT, aria=False, background=alt.ExprRef("paper"))
        .configure_view(stroke=None)
        .properties(
            padding={
                "left": 44 if size.inset > 100 else 14,
                "right": 42 if size.inset > 100 else 26,
                "top": 16,
                "bottom": 4,
            }
        )
    )


def _data(name: str) -> alt.Chart:
    return alt.Chart(alt.NamedData(name))


def _at(expression: str) -> Any:
    return alt.value(alt.ExprRef(expression))


def _rule(color: alt.ExprRef, x: str, x2: str, y: str, y2: str, **mark: Any) -> alt.Chart:
    """A straight line between two points given as expressions in the view's pixels."""
    return (
        _data("one")
        .mark_rule(color=color, **mark)
        .encode(
            x=alt.XValue(alt.ExprRef(x)),
            x2=alt.X2Value(alt.ExprRef(x2)),
            y=alt.YValue(alt.ExprRef(y)),
            y2=alt.Y2Value(alt.ExprRef(y2)),
        )
    )


def _frame(
    color: alt.ExprRef, x: str, x2: str, height: int, width: float, shown: str = "1"
) -> alt.Chart:
    """An empty rectangle over a view's height."""
    return (
        _data("one")
        .mark_rect(filled=False, stroke=color, strokeWidth=width, fillOpacity=0)
        .encode(
            x=alt.XValue(alt.ExprRef(x)),
            x2=alt.X2Value(alt.ExprRef(x2)),
            y=alt.YValue(0),
            y2=alt.Y2Value(height),
            opacity=alt.OpacityValue(alt.ExprRef(shown)),
        )
    )


def _words(name: str, *, x: Any, y: Any, color: str = "ink", **mark: Any) -> alt.Chart:
    """Text of a dataset's field `text`."""
    return (
        _data(name)
        .mark_text(color=alt.ExprRef(color), **mark)
        .encode(x=x, y=y, text=alt.Text("text:N"))
    )


def _x(field: str, low: str, high: str) -> alt.X:
    domain = [alt.ExprRef(low), alt.ExprRef(high)]
    return alt.X(field, axis=None, scale=alt.Scale(domain=domain, nice=False, zero=False))


def _y(field: str, rows: str) -> alt.Y:
    domain = [0, alt.ExprRef(rows)]
    return alt.Y(field, axis=None, scale=alt.Scale(domain=domain, nice=False, zero=False))


def _tile(low: str, high: str) -> alt.Chart:
    return (
        _data("tile")
        .mark_image(aspect=False, smooth=False, clip=True)
        .encode(x=_x("x0:Q", low, high), x2="x1", y=_y("y0:Q", "rowcount"), y2="y1", url="url:N")
    )


def _overview_chart(size: Size) -> alt.LayerChart:
    scale = size.total
    return alt.layer(
        _tile("0", "n"),
        _frame(PURPLE, f"a / n * {scale}", f"b / n * {scale}", size.overview, 2.5),
        _rule(
            GREEN, f"(col + 0.5) / n * {scale}", f"(col + 0.5) / n * {scale}",
            f"{size.overview}", f"{size.overview} + 6", strokeWidth=2,
        ),
        _words(
            "overviewlabels",
            x=alt.XValue(-6), y=alt.Y("y:Q", axis=None, scale=alt.Scale(domain=[0, 1])),
            align="right", baseline="middle", fontSize=10,
        ),
        _words(
            "overviewtitle", x=alt.XValue(0), y=alt.YValue(-6),
            align="left", baseline="bottom", fontSize=11,
        ),
    ).resolve_scale(y="independent").properties(width=size.total, height=size.overview)  # fmt: skip


def _funnel_chart(size: Size) -> alt.LayerChart:
    left, right = f"a / n * {size.total}", f"b / n * {size.total}"
    height = f"{_FUNNEL + STRIP}"
    return alt.layer(
        _rule(PURPLE, left, f"{size.left}", "0", height, opacity=0.75),
        _rule(PURPLE, right, f"{size.total}", "0", height, opacity=0.75),
    ).properties(width=size.total, height=_FUNNEL)


def _inside(size: Size, position: str) -> str:
    """Pixels of a position in the section, kept within it: what lies outside still has bounds."""
    return f"clamp(({position} - a) / (b - a), 0, 1) * {size.section}"


def _column(size: Size, offset: float) -> str:
    return _inside(size, f"col + {offset}")


_BOX_SHOWN = "box1 > a && box0 < b && box1 > box0 ? 1 : 0"
_COLUMN_SHOWN = "col >= a && col < b ? 1 : 0"


def _arrow(size: Size) -> alt.LayerChart:
    """From the inset to the top of its column: along the strip above the section, then down."""
    middle = _column(size, 0.5)
    shown = alt.OpacityValue(alt.ExprRef(_COLUMN_SHOWN))
    head = (
        _data("one")
        .mark_point(shape="triangle-down", color=GREEN, filled=True, size=90)
        .encode(x=alt.XValue(alt.ExprRef(middle)), y=alt.YValue(STRIP - 5), opacity=shown)
    )
    line = {"strokeWidth": 2}
    return alt.layer(
        _rule(GREEN, f"-{size.gap}", middle, "14", "14", **line).encode(opacity=shown),
        _rule(GREEN, middle, middle, "13", f"{STRIP - 8}", **line).encode(opacity=shown),
        head,
    ).properties(width=size.section, height=STRIP)


def _section(size: Size) -> alt.LayerChart:
    x, y = _x("x0:Q", "a", "b"), _y("y0:Q", "rowcount")
    cells = _data("cells").encode(x=x, y=y)
    box = [_inside(size, name) for name in ("box0", "box1")]
    return alt.layer(
        _tile("a", "b"),
        cells.mark_rect(clip=True, stroke="#ffffff", strokeWidth=0.6, strokeOpacity=0.7).encode(
            x2="x1", y2="y1", fill=alt.Fill("fill:N", scale=None)
        ),
        _data("cells")
        .mark_text(clip=True, fontSize=alt.ExprRef("cellfont"))
        .encode(
            x=_x("xc:Q", "a", "b"), y=_y("yc:Q", "rowcount"), text="text:N",
            color=alt.Color("tint:N", scale=None),
        ),
        _words(
            "rows", x=alt.XValue(-7), y=_y("yc:Q", "rowcount"), align="right", baseline="middle",
            fontSize=11,
        ),
        _frame(PURPLE, "0", f"{size.section}", size.height, 2.5),
        _frame(BLUE, *box, size.height + _LABELS, 2.5, _BOX_SHOWN),
        _frame(GREEN, _column(size, 0), _column(size, 1), size.height, 2.5, _COLUMN_SHOWN),
        _words(
            "rowtitle", x=alt.XValue(-size.gap * 0.75), y=alt.YValue(size.height / 2),
            align="center", baseline="bottom", angle=270, fontSize=11,
        ),
    ).properties(width=size.section, height=size.height)  # fmt: skip


def _column_labels(size: Size) -> alt.Chart:
    return _words(
        "columns", x=_x("xc:Q", "a", "b"), y=alt.YValue(_LABELS / 2), align="center",
        baseline="middle", fontSize=alt.ExprRef("labelfont"), clip=True,
    ).properties(width=size.section, height=_LABELS)  # fmt: skip


def _caption(size: Size) -> alt.LayerChart:
    """Below the box, its right end under the box's: the box stands at the prompt's end."""
    right = _inside(size, "box1")
    return alt.layer(
        _data("caption")
        .mark_text(
            align="right", baseline="middle", fontWeight="bold", color=BLUE,
            fontSize=12 if size.inset > 100 else 9, limit=size.total,
        )
        .encode(
            x=alt.XValue(alt.ExprRef(right)), y=alt.YValue(_CAPTION / 2 + 2), text="text:N",
            opacity=alt.OpacityValue(alt.ExprRef(_BOX_SHOWN)),
        )
    ).properties(width=size.section, height=_CAPTION)  # fmt: skip


def _inset_title(size: Size) -> alt.Chart:
    return _words(
        "insettitle", x=alt.XValue(0), y=alt.YValue(STRIP - 10), align="left", baseline="bottom",
        fontSize=11,
    ).properties(width=size.inset, height=STRIP)  # fmt: skip


def _inset(size: Size) -> alt.LayerChart:
    def x(field: str) -> alt.X:
        return _x(field, "0", "insetwidth")

    def y(field: str) -> alt.Y:
        return _y(field, "insetheight")

    return alt.layer(
        _data("inset")
        .mark_rect(stroke="#ffffff", strokeWidth=0.6)
        .encode(x=x("x0:Q"), x2="x1", y=y("y0:Q"), y2="y1", fill=alt.Fill("fill:N", scale=None)),
        _data("inset")
        .mark_text(fontSize=alt.ExprRef("insetfont"))
        .encode(x=x("xc:Q"), y=y("yc:Q"), text="text:N", color=alt.Color("tint:N", scale=None)),
        _words(
            "insetrows", x=alt.XValue(-5), y=y("yc:Q"), align="right", baseline="middle",
            fontSize=10,
        ),
        _frame(GREEN, "0", f"{size.inset}", size.height, 2.5),
    ).properties(width=size.inset, height=size.height)  # fmt: skip


def _inset_columns(size: Size) -> alt.Chart:
    return _words(
        "insetcolumns", x=_x("xc:Q", "0", "insetwidth"), y=alt.YValue(_LABELS / 2), align="center",
        baseline="middle", fontSize=alt.ExprRef("labelfont"),
    ).properties(width=size.inset, height=_LABELS)  # fmt: skip


def _legend(size: Size) -> alt.LayerChart:
    y = alt.Y("y0:Q", axis=None, scale=alt.Scale(domain=[0, 1], nice=False, zero=False))
    ramp = (
        _data("legend")
        .mark_rect()
        .encode(x=alt.XValue(0), x2=alt.X2Value(size.legend), y=y, y2="y1",
                fill=alt.Fill("fill:N", scale=None))
    )  # fmt: skip
    ticks = _words(
        "ticks", x=alt.XValue(size.legend + 5),
        y=alt.Y("y:Q", axis=None, scale=alt.Scale(domain=[0, 1], nice=False, zero=False)),
        align="left", baseline="middle", fontSize=11,
    )  # fmt: skip
    title = _words(
        "legendtitle", x=alt.XValue(size.legend + 4), y=alt.YValue(-8), align="right",
        baseline="bottom", fontSize=11,
    )  # fmt: skip
    return alt.layer(ramp, ticks, title).properties(width=size.legend, height=size.height)


def _space(width: int, height: int) -> alt.Chart:
    return _data("one").mark_point(opacity=0).properties(width=width, height=height)
