"""The legend of the heatmap figure: its drawing, and its datasets in their first state.

The page's script makes the same datasets in `figure/legend.js`.
"""

from __future__ import annotations

import altair as alt

from attentropy.report.figures.marks import (
    INK,
    MUTED,
    bars,
    colour_ramp,
    dataset,
    text_mark,
    unit_scale,
)
from attentropy.report.figures.sizes import Size
from attentropy.report.figures.specification import Rows, VegaLite, layer, ramp_rows
from attentropy.report.scale import Scale

EDGE = 2  # pixels around the figure that nothing reaches
_NARROW_END = 9  # letters that a telephone has room for in a line at the lower end


def legend_chart(size: Size) -> VegaLite:
    """Return colours with their ticks, the histogram of the values, and words at the ends."""
    ticks = text_mark(
        "ticks", x=alt.XValue(size.legend + 5), y=unit_scale("y:Q"), align="left",
        baseline="middle", fontSize=11,
    )  # fmt: skip
    right = size.legend + size.margins[1] - EDGE - 1
    # The unit stands on a line of its own where the title would reach into the section.
    in_lines = r"replace(datum.text, ' (', '\n(')" if size.is_narrow else "datum.text"
    title = (
        dataset("legendtitle")
        .transform_calculate(text=in_lines)
        .mark_text(
            color=INK, align="right", baseline="line-bottom", lineBreak="\n", fontSize=11,
            fontWeight="normal" if size.is_narrow else "bold",
        )
        .encode(
            x=alt.XValue(right), y=alt.YValue(-34 if size.is_narrow else -22),
            text=alt.Text("text:N"),
        )
    )  # fmt: skip
    words = (
        dataset("ends")
        .mark_text(
            color=MUTED, align="right", baseline="middle", fontSize=10 if size.is_narrow else 11
        )
        .encode(
            x=alt.XValue(right), y=alt.Y("y:Q", axis=None, scale=None), text=alt.Text("text:N")
        )
    )  # fmt: skip
    ramp = colour_ramp(size.legend - size.ramp, size.legend)
    own = (bars(size.bars),) if size.bars else ()
    return layer(ramp, *own, ticks, title, words, width=size.legend, height=size.height)


def ramp_and_ticks(scale: Scale, palette: str = "diverging") -> tuple[Rows, Rows]:
    """Return the rows of the colour ramp, and of the labels at its ends and its middle."""
    return ramp_rows(scale.ramp(palette)), [
        {"y": height, "text": text} for height, text in scale.ticks()
    ]


def end_words(scale: Scale, size: Size) -> Rows:
    """Return the words at the legend's ends, and below them that it is fitted."""
    first, last = scale.ends
    low, _, high = scale.fit_words.partition(" of ")
    fitted = [low, f"of {high}"] if high else []
    if size.is_narrow:  # where only the ends have room
        fitted = []
    texts = [(-13, last)]
    # On a telephone in two lines: next to them stands the name of the strip.
    lines = first.rsplit(" ", 1) if size.is_narrow and len(first) > _NARROW_END else [first]
    texts += [(size.height + 15 + 11 * i, line) for i, line in enumerate(lines)]
    texts += [(size.height + 28 + 12 * i, text) for i, text in enumerate(fitted)]
    return [{"y": y, "text": text} for y, text in texts if text]
