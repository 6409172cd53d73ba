"""The marks of the figures, drawn from named datasets: pictures, rules, frames and text."""

from __future__ import annotations

from typing import Any, Literal

import altair as alt

from attentropy.report.figures.specification import Channels, VegaLite, layer, view

# Colours of frames: of the section, the inset, the dummy tokens and the pins. They are parameters,
# since a dark page has other colours.
PURPLE, GREEN, BLUE, ORANGE = (alt.ExprRef(n) for n in ("purple", "green", "blue", "orange"))
INK, PAPER = alt.ExprRef("ink"), alt.ExprRef("paper")
# Of rows whose lens cannot be read: their texts, their ground and their dots; and what lies over
# the colours of rows that can hardly be read.
MUTED, UNREAD, SPECK, VEIL = (alt.ExprRef(n) for n in ("muted", "unread", "speck", "veil"))

# Whether there is a line at which the answer begins, and one at which its reasoning ends.
HAS_SPLIT = "split > 0 && split < n"
IS_REASONED = "reasoned > split && reasoned < n"

IS_NAMED = "datum.named"  # whether a cell names the answer's token
HAS_TEXT = "!datum.thin"  # whether a cell stands in a row that is not collapsed

End = str | int
"""The end of an axis: a number, or an expression of the parameters."""

_GREY = "#888888"  # of the line around a panel
_OUTLINE = 8  # pixels of a cell that its outline takes, with the space next to the text
_BOLD_LETTER, _WIDER = 0.56, 0.65  # of a bold letter and what "…" adds, as parts of the font's size
_SMALLEST = 7  # pixels of a font


def dataset(name: str) -> alt.Chart:
    """Return a chart of the named dataset, without a mark yet."""
    return alt.Chart(alt.NamedData(name))


def rule(color: alt.ExprRef, x: str, x2: str, y: str, y2: str, **mark: Any) -> alt.Chart:
    """Return a straight line between two points, which are expressions in pixels of the view."""
    chart: alt.Chart = (
        dataset("one")
        .mark_rule(color=color, **mark)
        .encode(
            x=alt.XValue(alt.ExprRef(x)),
            x2=alt.X2Value(alt.ExprRef(x2)),
            y=alt.YValue(alt.ExprRef(y)),
            y2=alt.Y2Value(alt.ExprRef(y2)),
        )
    )
    return chart


def frame(
    color: alt.ExprRef, x: str, x2: str, height: int, width: float, opacity: str = "1"
) -> alt.Chart:
    """Return an empty rectangle over the height of a view, from x to x2 (expressions, pixels)."""
    chart: alt.Chart = (
        dataset("one")
        .mark_rect(filled=False, stroke=color, strokeWidth=width, fillOpacity=0)
        .encode(
            x=alt.XValue(alt.ExprRef(x)),
            x2=alt.X2Value(alt.ExprRef(x2)),
            y=alt.YValue(0),
            y2=alt.Y2Value(height),
            opacity=alt.OpacityValue(alt.ExprRef(opacity)),
        )
    )
    return chart


def outline(
    color: alt.ExprRef, x: tuple[str, str], y: tuple[str, str], width: float, opacity: str
) -> alt.Chart:
    """Return an empty rectangle between the ends `x` and `y` (expressions, pixels; top first)."""
    left, right, top, bottom = (alt.ExprRef(end) for end in (*x, *y))
    chart: alt.Chart = (
        dataset("one")
        .mark_rect(filled=False, stroke=color, strokeWidth=width, fillOpacity=0)
        .encode(
            x=alt.XValue(left), x2=alt.X2Value(right), y=alt.YValue(top), y2=alt.Y2Value(bottom),
            opacity=alt.OpacityValue(alt.ExprRef(opacity)),
        )
    )  # fmt: skip
    return chart


def border(side: int, color: str | alt.ExprRef = _GREY, width: float = 1) -> alt.Chart:
    """Return the line around a square panel of `side` pixels."""
    chart: alt.Chart = (
        dataset("one")
        .mark_rect(filled=False, stroke=color, strokeWidth=width, fillOpacity=0)
        .encode(x=alt.XValue(0), x2=alt.X2Value(side), y=alt.YValue(0), y2=alt.Y2Value(side))
    )
    return chart


def text_mark(name: str, *, x: Any, y: Any, color: str = "ink", **mark: Any) -> alt.Chart:
    """Return the field `text` of the dataset `name` as text at (x, y)."""
    chart: alt.Chart = (
        dataset(name)
        .mark_text(color=alt.ExprRef(color), **mark)
        .encode(x=x, y=y, text=alt.Text("text:N"))
    )
    return chart


_INK_OF_CELL: Channels = {
    "scale": None,
    "condition": [
        {"test": "datum.muted", "value": MUTED},
        {"test": "datum.pale", "value": INK},
    ],
}


def texts_of_cells(name: str, font: str, width: str, **mark: Any) -> tuple[alt.Chart, alt.Chart]:
    """Return the texts of the cells of a dataset, in bold where they name the answer's token.

    They have the ink that contrasts with the cell, and are grey in rows that cannot be read. A bold
    text is smaller where it would touch the cell's outline. width: pixels of a cell, an expression.
    """

    def text(test: str, weight: Literal["normal", "bold"]) -> alt.Chart:
        chart: alt.Chart = (
            dataset(name)
            .transform_filter(f"{HAS_TEXT} && {test}")
            .mark_text(fontSize=alt.ExprRef(font), fontWeight=weight, **mark)
            .encode(text=alt.Text("text:N"), color=alt.Color("tint:N", **_INK_OF_CELL))
        )
        return chart

    room = f"({width} - {_OUTLINE}) / ({_BOLD_LETTER} * length(datum.text) + {_WIDER})"
    bold = text(IS_NAMED, "bold").transform_calculate(font=f"max({_SMALLEST}, min({font}, {room}))")
    return (
        text(f"!{IS_NAMED}", "normal"),
        bold.encode(size=alt.Size("font:Q", scale=None, legend=None)),
    )


def named_cells(name: str) -> alt.Chart:
    """Return an outline within each cell of a dataset that names the answer's token."""
    chart: alt.Chart = (
        dataset(name)
        .transform_filter(f"{HAS_TEXT} && {IS_NAMED}")
        .mark_rect(
            filled=False, fillOpacity=0, strokeWidth=1.8, cornerRadius=2, clip=True,
            xOffset=2, x2Offset=-2, yOffset=-1.5, y2Offset=1.5,
        )
        .encode(stroke=alt.Stroke("tint:N", **_INK_OF_CELL))
    )  # fmt: skip
    return chart


def hatched(name: str, x: tuple[End, End], rows: str) -> alt.Chart:
    """Return the picture of lines where values are missing (see `hatch`), over a whole view."""
    return picture(name, x, y_scale("y0:Q", rows))


def picture(
    name: str, x: tuple[End, End], y: alt.Y, *, y2: str = "y1", clip: bool = True
) -> alt.Chart:
    """Return the pictures of the dataset `name`, by address, between the ends `x` and on `y`."""
    clipping: Channels = {"clip": True} if clip else {}
    chart: alt.Chart = (
        dataset(name)
        .mark_image(aspect=False, smooth=False, **clipping)
        .encode(x=x_scale("x0:Q", *x), x2=alt.X2("x1"), y=y, y2=alt.Y2(y2), url=alt.Url("url:N"))
    )
    return chart


def blank(width: int, height: int) -> VegaLite:
    """Return a view that draws nothing, so that a grid of views stays aligned."""
    return view(dataset("one").mark_point(opacity=0), width=width, height=height)


def x_scale(field: str, low: End, high: End) -> alt.X:
    """Return `field` on the horizontal axis, between two ends."""
    domain = [_end(low), _end(high)]
    return alt.X(field, axis=None, scale=alt.Scale(domain=domain, nice=False, zero=False))


def down_scale(field: str, low: End, high: End) -> alt.Y:
    """Return `field` on the vertical axis, between two ends, the lower one at the top."""
    domain = [_end(low), _end(high)]
    scale = alt.Scale(domain=domain, nice=False, zero=False, reverse=True)
    return alt.Y(field, axis=None, scale=scale)


def y_scale(field: str, rows: str = "rowcount") -> alt.Y:
    """Return `field` on the vertical axis from row 0 at the bottom to the expression `rows`."""
    domain: list[Any] = [0, alt.ExprRef(rows)]
    return alt.Y(field, axis=None, scale=alt.Scale(domain=domain, nice=False, zero=False))


def _end(value: End) -> alt.ExprRef | int:
    return value if isinstance(value, int) else alt.ExprRef(value)


def unit_scale(field: str) -> alt.Y:
    """Return `field` on the vertical axis from 0 to 1, as legends have it."""
    return alt.Y(field, axis=None, scale=alt.Scale(domain=[0, 1], nice=False, zero=False))


def colour_ramp(left: int, right: int) -> alt.Chart:
    """Return the colours of the dataset `legend` as a vertical bar between two pixels."""
    chart: alt.Chart = (
        dataset("legend")
        .mark_rect()
        .encode(
            x=alt.XValue(left),
            x2=alt.X2Value(right),
            y=unit_scale("y0:Q"),
            y2=alt.Y2("y1"),
            fill=alt.Fill("fill:N", scale=None),
        )
    )
    return chart


def bars(width: int) -> alt.Chart:
    """Return the dataset `histogram` as bars that grow to the left, within `width` pixels."""
    left = alt.ExprRef(f"{width} * (1 - datum.share)")
    chart: alt.Chart = (
        dataset("histogram")
        .mark_rect(color=SPECK)
        .encode(
            x=alt.XValue(left),
            x2=alt.X2Value(width),
            y=unit_scale("y0:Q"),
            y2=alt.Y2("y1"),
        )
    )
    return chart


def answer_line(
    x: str, top: str, bottom: int, opacity: str, *, is_dashed: bool = False
) -> VegaLite:
    """Return the line at which the answer begins, at `x` (expression), on a seam of paper.

    So it stands out on dark cells and on light ones. The dashed one is between its reasoning and
    the answer itself.
    """
    dashes = {"strokeDash": [4, 3]} if is_dashed else {}
    shown = alt.OpacityValue(alt.ExprRef(opacity))
    seam, line = (
        rule(color, x, x, top, str(bottom), strokeWidth=width, **more).encode(opacity=shown)
        for color, width, more in ((PAPER, 5, {}), (INK, 2, dashes))
    )
    return layer(seam, line)
