"""Bars of a few probabilities, which stand behind their names in the details pane."""

from __future__ import annotations

import altair as alt

from attentropy.report.figures.marks import BLUE, dataset
from attentropy.report.figures.specification import VegaLite, specification, view
from attentropy.report.palette import LIGHT

_WIDTH, _ROW, _MOST = 272, 22, 5  # pixels, pixels, bars; the page's style has the same


def bars() -> VegaLite:
    """Return the specification; its dataset `bars` has the fields y, a row from the top, and p."""

    def y(field: str) -> alt.Y:
        scale = alt.Scale(domain=[0, _MOST], nice=False, zero=False, reverse=True)
        return alt.Y(field, axis=None, scale=scale)

    x = alt.X("p:Q", axis=None, scale=alt.Scale(domain=[0, 1], nice=False))
    mark = (
        dataset("bars")
        .transform_calculate(top="datum.y + 0.09", bottom="datum.y + 0.91", none="0")
        .mark_rect(color=BLUE, opacity=0.28)
        .encode(x=x, x2=alt.X2("none:Q"), y=y("top:Q"), y2=alt.Y2("bottom:Q"))
    )
    views = view(mark, width=_WIDTH, height=_MOST * _ROW)
    return specification(
        views, LIGHT, {"bars": []}, dict.fromkeys(("left", "right", "top", "bottom"), 0)
    )
