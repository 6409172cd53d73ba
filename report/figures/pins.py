"""Marks of what the reader pins and searches for: numbered frames, and ticks at the matches.

Datasets that the page's script fills. `pins`: x0, x1, y0, y1 in positions and rows, `number`, `xc`
the middle, `below` what to write there, `xs` the left end of what of it is in the section, `shown`
and `inside` opacities.
`matches`: xc and `wide`, pixels; `matchespart`: x0, x1 of those in the section.
"""

from __future__ import annotations

import altair as alt

from attentropy.report.figures.marks import ORANGE, data, x_scale, y_scale
from attentropy.report.figures.sizes import LABELS


def frames(low: str, high: str) -> alt.Chart:
    """A frame around each pinned part, on the scales of the view that it is laid upon."""
    return (
        data("pins")
        .mark_rect(filled=False, stroke=ORANGE, strokeWidth=2.5, fillOpacity=0, clip=True)
        .encode(
            x=x_scale("x0:Q", low, high),
            x2="x1",
            y=y_scale("y0:Q", "rowcount"),
            y2="y1",
            opacity=_opacity("shown:Q"),
            strokeDash=alt.StrokeDash("dash:N", scale=None),
        )
    )


def numbered_columns(height: int) -> alt.Chart:
    """The pins' numbers below the overview."""
    return (
        data("pins")
        .mark_text(color=ORANGE, fontWeight="bold", fontSize=11, baseline="top")
        .encode(x=x_scale("xc:Q", "0", "n"), y=alt.YValue(height + 3), text="below:N")
    )


def numbered_cells() -> tuple[alt.Chart, alt.Chart]:
    """The pins' numbers in the section, on discs in their frames' upper left corners."""
    corner = data("pins").encode(
        x=x_scale("xs:Q", "a", "b"),
        y=y_scale("y1:Q", "rowcount"),
        opacity=_opacity("inside:Q"),
    )
    disc = corner.mark_point(shape="circle", filled=True, color=ORANGE, size=190)
    number = corner.mark_text(
        color=alt.ExprRef("paper"), fontWeight="bold", fontSize=11, baseline="middle"
    )
    return disc, number.encode(text="number:N")


def matches_above() -> alt.Chart:
    """A tick above the overview for each match, a wider one for the match selected."""
    return (
        data("matches")
        .mark_rule(color=ORANGE)
        .encode(
            x=x_scale("xc:Q", "0", "n"),
            y=alt.YValue(-5),
            y2=alt.Y2Value(0),
            strokeWidth=alt.StrokeWidth("wide:Q", scale=None),
        )
    )


def matches_below() -> alt.Chart:
    """A bar under the columns of the section that match."""
    return (
        data("matchespart")
        .mark_rect(color=ORANGE, clip=True)
        .encode(
            x=x_scale("x0:Q", "a", "b"), x2="x1", y=alt.YValue(LABELS - 4), y2=alt.Y2Value(LABELS)
        )
    )


def _opacity(field: str) -> alt.Opacity:
    return alt.Opacity(field, scale=None)
