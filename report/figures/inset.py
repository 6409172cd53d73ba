"""The inset of the heatmap: one position's cells, larger, with the title and the labels."""

from __future__ import annotations

import altair as alt

from attentropy.report.figures.crosshair import inset_marks
from attentropy.report.figures.marks import (
    GREEN,
    HAS_TEXT,
    dataset,
    frame,
    hatched,
    named_cells,
    text_mark,
    texts_of_cells,
    x_scale,
    y_scale,
)
from attentropy.report.figures.readable_rows import bands
from attentropy.report.figures.sizes import LABELS, STRIP, Size
from attentropy.report.figures.specification import VegaLite, layer, view


def inset_title(size: Size) -> VegaLite:
    """Return the title, which stands above the inset.

    On a telephone it stands above the arrow too, which begins where the title may not yet end.
    """
    title = text_mark(
        "insettitle", x=alt.XValue(0), y=alt.YValue(STRIP - (16 if size.is_narrow else 10)),
        align="left", baseline="bottom", fontSize=11,
    )  # fmt: skip
    return view(title, width=size.inset, height=STRIP)


def inset(size: Size) -> VegaLite:
    """Return the cells of one position, with the names of the rows."""

    def x(field: str) -> alt.X:
        return x_scale(field, "0", "insetwidth")

    def y(field: str) -> alt.Y:
        return y_scale(field, "insetheight")

    return layer(
        dataset("inset")
        .transform_filter(HAS_TEXT)
        .mark_rect(stroke="#ffffff", strokeWidth=0.6)
        .encode(
            x=x("x0:Q"), x2=alt.X2("x1"), y=y("y0:Q"), y2=alt.Y2("y1"),
            fill=alt.Fill("fill:N", scale=None),
        ),
        hatched("insethatch", ("0", "insetwidth"), "insetheight"),
        *bands(size.inset, "insetheight"),
        named_cells("inset").encode(
            x=x("x0:Q"), x2=alt.X2("x1"), y=y("y0:Q"), y2=alt.Y2("y1"),
        ),
        *(
            mark.encode(x=x("xc:Q"), y=y("yc:Q"))
            for mark in texts_of_cells("inset", "insetfont", f"{size.inset} / insetwidth")
        ),
        text_mark(
            "insetrows", x=alt.XValue(-5), y=y("yc:Q"), align="right", baseline="middle",
            fontSize=10,
        ),
        frame(GREEN, "0", f"{size.inset}", size.height, 2.5),
        *inset_marks(size),
        width=size.inset, height=size.height,
    )  # fmt: skip


def inset_columns(size: Size) -> VegaLite:
    """Return the labels of the columns, which stand below the inset."""
    labels = text_mark(
        "insetcolumns", x=x_scale("xc:Q", "0", "insetwidth"), y=alt.YValue(LABELS / 2),
        align="center", baseline="middle", fontSize=alt.ExprRef("labelfont"),
    )  # fmt: skip
    return view(labels, width=size.inset, height=LABELS)
