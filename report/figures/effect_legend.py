"""The legend of a text that is coloured by what hiding its parts does to a word of the answer."""

from __future__ import annotations

from typing import Literal

import altair as alt

from attentropy.report.figures.marks import MUTED, SPECK, dataset, rule
from attentropy.report.figures.specification import VegaLite, layer, specification
from attentropy.report.palette import LIGHT

_LEFT, _RIGHT = 90, 230  # pixels between which the colours lie; their ends are named next to them
_WIDTH, _HEIGHT = 414, 12
_SWATCH = 338  # the left edge of the sample of what was not tested
_PADDING = {"left": 1, "right": 1, "top": 2, "bottom": 1}


def effect_legend() -> VegaLite:
    """Return the legend; the script fills its datasets.

    Datasets: `effectramp` (x0 and x1 as shares, fill) and `effectticks` (text, end).
    """
    span = _RIGHT - _LEFT
    ramp = (
        dataset("effectramp")
        .transform_calculate(
            left=f"{_LEFT} + datum.x0 * {span}", right=f"{_LEFT} + datum.x1 * {span}"
        )
        .mark_rect()
        .encode(
            x=alt.X("left:Q", axis=None, scale=None), x2=alt.X2("right"),
            y=alt.YValue(1), y2=alt.Y2Value(_HEIGHT - 1), fill=alt.Fill("fill:N", scale=None),
        )
    )  # fmt: skip
    ends: tuple[tuple[str, Literal["left", "right"], int], ...] = (
        ("low", "right", _LEFT - 5), ("high", "left", _RIGHT + 5),
    )  # fmt: skip
    ticks = (
        dataset("effectticks")
        .transform_filter(f"datum.end == '{end}'")
        .mark_text(align=align, baseline="middle", fontSize=11, color=MUTED)
        .encode(x=alt.XValue(x), y=alt.YValue(_HEIGHT / 2), text=alt.Text("text:N"))
        for end, align, x in ends
    )
    lines = (
        rule(SPECK, str(_SWATCH + x), str(_SWATCH + x + 6), str(_HEIGHT), "0", strokeWidth=2)
        for x in (0, 6, 12)
    )
    name = (
        dataset("one")
        .mark_text(align="left", baseline="middle", fontSize=11, color=MUTED)
        .encode(
            x=alt.XValue(_SWATCH + 24), y=alt.YValue(_HEIGHT / 2), text=alt.TextValue("not tested")
        )
    )
    views = layer(ramp, *ticks, *lines, name, width=_WIDTH, height=_HEIGHT)
    data = {"one": [{"o": 1}], "effectramp": [], "effectticks": []}
    return specification({**views, "autosize": {"type": "none"}}, dict(LIGHT), data, _PADDING)
