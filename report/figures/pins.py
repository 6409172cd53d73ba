"""Marks of the reader's pins and search matches: numbered frames, and ticks at the matches.

The page's script fills these datasets:

- `pins`: x0, x1, y0, y1 in positions and rows; `number`; `xc`, the middle; `below`, the text there;
  `xs`, the left end of the part that lies in the section; `shown` and `inside`, opacities.
- `matches`: xc and `wide`, in pixels.
- `matchespart`: x0, x1 of the matches in the section.
"""

from __future__ import annotations

import altair as alt

from attentropy.report.figures.marks import ORANGE, PAPER, dataset, x_scale, y_scale
from attentropy.report.figures.sizes import LABELS


def frames(low: str, high: str) -> alt.Chart:
    """Return a frame around each pin, in a view from `low` to `high` (expressions)."""
    chart: alt.Chart = (
        dataset("pins")
        .mark_rect(filled=False, stroke=ORANGE, strokeWidth=2.5, fillOpacity=0, clip=True)
        .encode(
            x=x_scale("x0:Q", low, high),
            x2=alt.X2("x1"),
            y=y_scale("y0:Q"),
            y2=alt.Y2("y1"),
            opacity=_opacity("shown:Q"),
            strokeDash=alt.StrokeDash("dash:N", scale=None),
        )
    )
    return chart


def numbered_columns(height: int) -> alt.Chart:
    """Return the numbers of the pins below the overview, which is `height` pixels high."""
    chart: alt.Chart = (
        dataset("pins")
        .mark_text(color=ORANGE, fontWeight="bold", fontSize=11, baseline="top")
        .encode(x=x_scale("xc:Q", "0", "n"), y=alt.YValue(height + 3), text=alt.Text("below:N"))
    )
    return chart


def numbered_cells() -> tuple[alt.Chart, alt.Chart]:
    """Return discs and numbers in the upper left corners of the pins' frames in the section."""
    corner = dataset("pins").encode(
        x=x_scale("xs:Q", "a", "b"),
        y=y_scale("y1:Q"),
        opacity=_opacity("inside:Q"),
    )
    disc = corner.mark_point(shape="circle", filled=True, color=ORANGE, size=190)
    number = corner.mark_text(color=PAPER, fontWeight="bold", fontSize=11, baseline="middle")
    return disc, number.encode(text=alt.Text("number:N"))


def matches_above() -> alt.Chart:
    """Return a tick above the overview for each match; that of the selected match is wider."""
    chart: alt.Chart = (
        dataset("matches")
        .mark_rule(color=ORANGE)
        .encode(
            x=x_scale("xc:Q", "0", "n"),
            y=alt.YValue(-5),
            y2=alt.Y2Value(0),
            strokeWidth=alt.StrokeWidth("wide:Q", scale=None),
        )
    )
    return chart


def matches_below() -> alt.Chart:
    """Return a bar under each column of the section that matches."""
    chart: alt.Chart = (
        dataset("matchespart")
        .mark_rect(color=ORANGE, clip=True)
        .encode(
            x=x_scale("x0:Q", "a", "b"),
            x2=alt.X2("x1"),
            y=alt.YValue(LABELS - 4),
            y2=alt.Y2Value(LABELS),
        )
    )
    return chart


def _opacity(field: str) -> alt.Opacity:
    return alt.Opacity(field, scale=None)
