"""All heads as pictures: layers upwards, heads to the right, in each cell the head's attention."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import altair as alt

from attentropy.report.figures.marks import (
    BLUE,
    GREEN,
    INK,
    MUTED,
    ORANGE,
    PURPLE,
    SPECK,
    dataset,
    picture,
    text_mark,
    x_scale,
    y_scale,
)
from attentropy.report.figures.specification import (
    Channels,
    Datasets,
    Parameters,
    VegaLite,
    layer,
    specification,
)

COLOURS = {
    "source": GREEN, "word": GREEN, "seen": MUTED, "open": MUTED, "previous": PURPLE,
    "induction": ORANGE, "sink": MUTED, "local": BLUE, "diffuse": INK,
}  # fmt: skip
LEFT = 24  # pixels of the layers' labels
_ROOMY, _TIGHT = 5.2, 4.5  # pixels of a letter of a label, in 10 and in 9 pixels
_NUMBER = 24  # pixels of a number
_LINE = 12  # pixels of a line of text
_GAP = 2


@dataclass(frozen=True)
class GridSize:
    """The pixels of a grid of layers × heads.

    A cell is `cell` pixels wide and high, the picture in its upper left corner `picture`. `text` is
    "right" for two lines at the right of the picture, "below" for a number at its right and the
    label below, "" where no text fits; a label has at most `letters` letters of `font` pixels.
    """

    layers: int
    heads: int
    cell: tuple[float, float]
    picture: tuple[float, float]
    text: str
    letters: int
    font: int
    has_axes: bool

    @property
    def width(self) -> int:
        """The width of all cells."""
        return round(self.cell[0] * self.heads)

    @property
    def height(self) -> int:
        """The height of all cells."""
        return round(self.cell[1] * self.layers)

    def facts(self) -> dict[str, Any]:
        """Return what the page's script reads."""
        return {**asdict(self), "width": self.width, "height": self.height}


def card_size(layers: int, heads: int) -> GridSize:
    """Return the size of the grid on the first screen: within 262 × 306 pixels."""
    return _grid_size(layers, heads, (262, 306), (110, 64), has_axes=False)


def section_size(layers: int, heads: int, narrow: bool) -> GridSize:
    """Return the size of the large grid, for a screen or for a telephone."""
    room = (300, 860) if narrow else (644, 860)
    return _grid_size(layers, heads, room, (155, 64), has_axes=True)


def _grid_size(
    layers: int, heads: int, room: tuple[int, int], most: tuple[int, int], *, has_axes: bool
) -> GridSize:
    wide, high = (min(room[0] / heads, most[0]), min(room[1] / layers, most[1]))
    side = high - _GAP - 1
    right = wide - side - 5
    cell, square = (wide, high), (side, side)
    if side >= 20 and right >= 7 * _TIGHT:
        font, letter = (10, _ROOMY) if right >= 12 * _ROOMY else (9, _TIGHT)
        letters = int(right / letter)
        return GridSize(layers, heads, cell, square, "right", letters, font, has_axes)
    side = min(high - _LINE - _GAP - 1, wide - _NUMBER - 5)
    if side >= 20:
        letters = int((wide - 3) / _TIGHT)
        return GridSize(layers, heads, cell, (side, side), "below", letters, 9, has_axes)
    if has_axes:
        high = min(high, max(1, wide))
    gap = _GAP if min(wide, high) >= 12 else 1
    across, down = (max(side - gap, side / 2) for side in (wide, high))
    return GridSize(layers, heads, (wide, high), (across, down), "", 0, 9, has_axes)


def headgrid(size: GridSize, state: Parameters, datasets: Datasets) -> VegaLite:
    """Return the specification of the figure.

    Datasets: sprite {x0, x1, y0, y1, url}, all pictures as one; frames {x0, x1, y0, y1, kind};
    picked and pointed {x0, x1, y0, y1}, the selected and the hovered head or layer; numbers and
    labels {x, y, text, kind}; layerlabels, headlabels, titles.
    """
    weight = 600 if size.font > 9 else 500
    label_place: Channels = {"align": "left", "baseline": "middle", "fontWeight": weight}
    marks = layer(
        picture("sprite", (0, "heads"), y_scale("y0:Q", "layers")),
        _frames("frames").encode(
            stroke=_kind_colour(alt.Stroke, SPECK),
            strokeWidth=alt.StrokeWidth(
                condition={"test": "datum.kind == '' || datum.kind == 'sink'", "value": 0.7},
                value=1.5,
            ),
        ),
        _frames("picked", strokeWidth=2.5, stroke=INK),
        _frames("pointed", strokeWidth=1.5, stroke=INK, strokeDash=[3, 2]),
        _text("numbers", INK, {"align": "left", "baseline": "middle"}, 10),
        _text("labels", None, label_place, size.font),
        text_mark("layerlabels", x=alt.XValue(-5), y=y_scale("at:Q", "layers"), align="right",
                  baseline="middle", fontSize=10),
        text_mark("headlabels", x=x_scale("at:Q", 0, "heads"), y=alt.YValue(size.height + 10),
                  align="center", baseline="middle", fontSize=10),
        text_mark("headtitle", x=alt.XValue(size.width / 2), y=alt.YValue(size.height + 24),
                  align="center", baseline="middle", fontSize=11),
        width=size.width, height=size.height,
    )  # fmt: skip
    bottom = 34 if size.has_axes else 2
    padding = {"left": LEFT, "right": 4, "top": 4, "bottom": bottom}
    # The canvas is as large as its size says, whatever the labels take: it is not scaled.
    return specification({**marks, "autosize": {"type": "none"}}, state, datasets, padding)


def _frames(name: str, **mark: Any) -> alt.Chart:
    chart: alt.Chart = (
        dataset(name)
        .mark_rect(filled=False, fillOpacity=0, **mark)
        .encode(
            x=x_scale("x0:Q", 0, "heads"), x2=alt.X2("x1"),
            y=y_scale("y0:Q", "layers"), y2=alt.Y2("y1"),
        )
    )  # fmt: skip
    return chart


def _text(name: str, color: alt.ExprRef | None, mark: Channels, size: float) -> alt.Chart:
    ink = alt.ColorValue(color) if color is not None else _kind_colour(alt.Color, INK)
    chart: alt.Chart = (
        dataset(name)
        .mark_text(fontSize=size, **mark)
        .encode(
            x=x_scale("x:Q", 0, "heads"), y=y_scale("y:Q", "layers"), text=alt.Text("text:N"),
            color=ink,
        )
    )  # fmt: skip
    return chart


def _kind_colour(channel: Any, other: alt.ExprRef) -> Any:
    """Return the colour of a head's kind, `other` for none; each is a parameter."""
    tests = [{"test": f"datum.kind == '{kind}'", "value": c} for kind, c in COLOURS.items()]
    return channel("kind:N", scale=None, condition=[*tests, {"test": "true", "value": other}])
