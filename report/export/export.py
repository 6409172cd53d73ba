"""One figure of the page as a file for a paper: SVG, PNG, PDF, or its values as CSV."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from attentropy.engine.errors import UsageError
from attentropy.engine.trace.dataset import Trace
from attentropy.report import palette as colours
from attentropy.report.export import entropy
from attentropy.report.export import files as containers
from attentropy.report.export import heads as scores
from attentropy.report.export import map as attention
from attentropy.report.export import profile as timing
from attentropy.report.export.choices import Asked, asked
from attentropy.report.export.plate import Plate
from attentropy.report.page.document import picture
from attentropy.report.read.positions import Range

FORMATS = ("svg", "png", "pdf", "csv")
# Pixels of the labels in every figure of the page: what is to be `font_size` points in print.
_LABEL = 11
_WIDTHS, _FONTS, _DPI = (30.0, 1000.0), (3.0, 30.0), (36, 2400)
_LEAST, _MOST = 240, 3000  # pixels that the layouts are made for
_PIXELS = 100_000_000  # of a PNG
_RAMPS = {"legend", "maplegend"}  # datasets of colours in steps
_PLATES = {
    "lens": entropy.plate,
    "attention": entropy.plate,
    "map": attention.plate,
    "heads": scores.plate,
    "profile": timing.plate,
}


@dataclass(frozen=True)
class Exported:
    """`data` is the file; `title` and `caption` say in one line each what it shows."""

    data: bytes
    title: str
    caption: str


def export(
    trace: Trace,
    figure: str = "lens",
    format: str = "svg",
    *,
    stat: str | None = None,
    site: str | None = None,
    section: str | Range | None = None,
    inset: int | None = None,
    layer: int | None = None,
    head: int | None = None,
    score: str | None = None,
    palette: str | None = None,
    theme: str = "light",
    width: float = 180.0,
    font_size: float = 7.0,
    dpi: int = 300,
) -> Exported:
    """A figure of a trace's page as the bytes of a file, the same for the same trace, version and
    installed fonts.

    `figure`: "lens", "attention", "map", "heads" or "profile"; `format`: "svg", "png", "pdf" or
    "csv", the values that are drawn. `width` in millimetres, `font_size` of the labels in points,
    both in print; under some 115 mm of 7-point text the parts stand as on a telephone. `dpi`:
    pixels an inch of a PNG. `stat`: what the colours of "lens" and "attention" show, "entropy" or
    one of `statistics.held`; `site`: where the lens reads; both as the page's address has them.
    `section`: positions "a:b" or (a, b), of a map those of its magnified region; `inset`: the
    magnified position. Attention: `head` shows one head in every layer,
    `layer` the heads of one layer, both one head with that layer's weights in the inset; neither
    the mean over heads. A map's `layer` and `head` are those that it shows; `score` is that of
    "heads". `palette`: "diverging" or "cividis".

    Raises `UsageError` for a choice that the figure or the trace does not have, `AttentropyError`
    where the trace does not hold what the figure shows.
    """
    if format not in FORMATS:
        raise UsageError(f"{format!r}: choose one of {', '.join(FORMATS)}")
    _within("--width", width, _WIDTHS, "mm")
    _within("--font-size", font_size, _FONTS, "points")
    _within("--dpi", dpi, _DPI, "pixels an inch")
    choices = {
        "stat": stat, "site": site, "section": section, "inset": inset, "layer": layer,
        "head": head, "score": score, "palette": palette,
    }  # fmt: skip
    chosen = asked(trace, figure, theme, choices)
    pixels = round(width / 25.4 * 72 / font_size * _LABEL)
    if not _LEAST <= pixels <= _MOST:
        most = width / 25.4 * 72 * _LABEL / (_LEAST if pixels < _LEAST else _MOST)
        side = "at most" if pixels < _LEAST else "at least"
        raise UsageError(
            f"--font-size {font_size:g} does not suit --width {width:g}: {side} {most:.1f} points"
        )
    plate = _PLATES[figure](trace, chosen, pixels)
    words = plate.title, plate.caption
    if format == "csv":
        return Exported(plate.table.csv(), *words)
    image = _fitted(plate, chosen, pixels)
    if format == "svg":
        data = containers.svg(image, width, *words)
    elif format == "pdf":
        data = containers.pdf(image, width, *words)
    else:
        own, high = containers.pixels(image)
        if (width / 25.4 * dpi) ** 2 * high / own > _PIXELS:
            raise UsageError(f"--dpi {dpi} makes a picture of more than {_PIXELS:,} pixels")
        data = containers.png(image, width, dpi, *words)
    return Exported(data, *words)


def _within(name: str, value: float, ends: tuple[float, float], unit: str) -> None:
    if not ends[0] <= value <= ends[1]:
        raise UsageError(f"{name} {value:g}: give {ends[0]:g} to {ends[1]:g} {unit}")


def _fitted(plate: Plate, chosen: Asked, pixels: int) -> str:
    """The picture that is as wide as asked for, labels and all: what the labels take is known once
    it is drawn, so it is drawn again with the rest."""
    layout, image = pixels, _image(plate, chosen, pixels)
    for _ in range(2):
        off = pixels - round(containers.pixels(image)[0])
        if abs(off) <= 1:
            break
        layout += off
        image = _image(plate, chosen, layout)
    return image


def _image(plate: Plate, chosen: Asked, layout: int) -> str:
    chart: dict[str, Any] = plate.draw(layout) | {"padding": 4}
    themed = colours.DARK if chosen.theme == "dark" else colours.LIGHT
    for parameter in chart.get("params", []):
        parameter["value"] = themed.get(parameter["name"], parameter["value"])
    for name in _RAMPS & chart["datasets"].keys():
        chart["datasets"][name] = _smooth(chart["datasets"][name])
    return picture(chart)


def _smooth(ramp: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A legend's steps as one rectangle: between steps a printer leaves seams."""
    across = "x0" in ramp[0]
    stops = [
        {"offset": (i + 0.5) / len(ramp), "color": step["fill"]} for i, step in enumerate(ramp)
    ]
    ends = {"x1": 0, "y1": 0, "x2": 1, "y2": 0} if across else {"x1": 0, "y1": 1, "x2": 0, "y2": 0}
    fill = {"gradient": "linear", "stops": stops, **ends}
    return [{"x0": 0, "x1": 1, "fill": fill} if across else {"y0": 0, "y1": 1, "fill": fill}]
