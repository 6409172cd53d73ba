"""One figure of the page as a file for a paper: SVG, PNG, PDF, or its values as CSV."""

from __future__ import annotations

from dataclasses import dataclass

from attentropy.engine.errors import UsageError
from attentropy.engine.trace.dataset import Trace
from attentropy.report import palette as page_palette
from attentropy.report.export import (
    entropy_figure,
    heads_figure,
    image_files,
    map_figure,
    profile_figure,
)
from attentropy.report.export.choices import ExportChoices, check_choices
from attentropy.report.export.figure_plan import FigurePlan
from attentropy.report.figures.specification import Rows, VegaLite
from attentropy.report.page.document import draw_svg
from attentropy.report.read.positions import Range

FORMATS = ("svg", "png", "pdf", "csv")
# The font size of the labels in every figure of the page, in pixels: `font_size` points in print.
_LABEL = 11
_MM, _POINT = 25.4, 72.0  # per inch
_WIDTHS, _FONTS, _DPI = (30.0, 1000.0), (3.0, 30.0), (36, 2400)
_NARROWEST, _WIDEST = 240, 3000  # pixels that the layouts are made for
_MOST_PIXELS = 100_000_000  # of a PNG
_RAMPS = {"legend", "maplegend"}  # datasets of colours in steps
_PLANS = {
    "lens": entropy_figure.plan,
    "attention": entropy_figure.plan,
    "map": map_figure.plan,
    "heads": heads_figure.plan,
    "profile": profile_figure.plan,
}


@dataclass(frozen=True)
class Exported:
    """An exported figure: `data` is the file, `title` and `caption` are one line each."""

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
    template_box: bool = True,
    theme: str = "light",
    width: float = 180.0,
    font_size: float = 7.0,
    dpi: int = 300,
) -> Exported:
    """Return a figure of a trace's page as the bytes of a file.

    The bytes are the same for the same trace, version and installed fonts.

    `figure`: "lens", "attention", "map", "heads" or "profile"; `format`: "svg", "png", "pdf" or
    "csv", which has the values that are drawn. `width` is in millimetres and `font_size`, the size
    of the labels, in points, both in print; a figure narrower than about 115 mm with labels of
    7 points is laid out as on a telephone. `dpi`: resolution of a PNG, in pixels per inch.

    `stat`: the statistic that the colours of "lens" and "attention" show, "entropy" or one of
    `statistics.held`; `site`: where the lens reads; both have the names of the page's address.
    `section`: positions "a:b" or (a, b); in a map, those of its magnified region. `inset`: the
    magnified position. `palette`: "diverging" or "cividis". `score`: the score that "heads" shows.
    `template_box`: whether "lens" and "attention" frame the template tokens after the question.

    `layer` and `head` of "map" are those that it shows. In "attention", `head` alone shows one head
    in every layer, `layer` alone the heads of one layer, both together one head with the weights of
    that layer in the inset, and neither the mean over heads.

    Raises:
        UsageError: a choice that the figure or the trace does not have.
        AttentropyError: the trace does not contain what the figure shows.
    """
    if format not in FORMATS:
        raise UsageError(f"{format!r}: choose one of {', '.join(FORMATS)}")
    _check_range("--width", width, _WIDTHS, "mm")
    _check_range("--font-size", font_size, _FONTS, "points")
    _check_range("--dpi", dpi, _DPI, "pixels an inch")
    requests = {
        "stat": stat, "site": site, "section": section, "inset": inset, "layer": layer,
        "head": head, "score": score, "palette": palette,
        "template_box": None if template_box else False,
    }  # fmt: skip
    choices = check_choices(trace, figure, theme, requests)
    pixels = _layout_pixels(width, font_size)
    plan = _PLANS[figure](trace, choices, pixels)
    if format == "csv":
        data = plan.table.encode()
    else:
        image = _draw_to_width(plan, choices, pixels)
        data = _encode_image(image, format, width, dpi, plan)
    return Exported(data, plan.title, plan.caption)


def _check_range(name: str, value: float, ends: tuple[float, float], unit: str) -> None:
    if not ends[0] <= value <= ends[1]:
        raise UsageError(f"{name} {value:g}: give {ends[0]:g} to {ends[1]:g} {unit}")


def _layout_pixels(width: float, font_size: float) -> int:
    """Return the pixels of a layout whose labels have `font_size` points at `width` millimetres."""
    points = width / _MM * _POINT
    pixels = round(points / font_size * _LABEL)
    if not _NARROWEST <= pixels <= _WIDEST:
        limit = points * _LABEL / (_NARROWEST if pixels < _NARROWEST else _WIDEST)
        side = "at most" if pixels < _NARROWEST else "at least"
        raise UsageError(
            f"--font-size {font_size:g} does not suit --width {width:g}: {side} {limit:.1f} points"
        )
    return pixels


def _encode_image(image: str, format: str, width: float, dpi: int, plan: FigurePlan) -> bytes:
    """Return the picture as a file of `format`: "svg", "pdf" or "png"."""
    if format == "svg":
        return image_files.svg(image, width, plan.title, plan.caption)
    if format == "pdf":
        return image_files.pdf(image, width, plan.title, plan.caption)
    own, height = image_files.pixels(image)
    if (width / _MM * dpi) ** 2 * height / own > _MOST_PIXELS:
        raise UsageError(f"--dpi {dpi} makes a picture of more than {_MOST_PIXELS:,} pixels")
    return image_files.png(image, width, dpi, plan.title, plan.caption)


def _draw_to_width(plan: FigurePlan, choices: ExportChoices, pixels: int) -> str:
    """Return the picture (SVG) that is `pixels` wide, labels included.

    The width of the labels is known only after drawing, so the picture is drawn again with the rest
    of the width.
    """
    layout, image = pixels, _draw(plan, choices, pixels)
    for _ in range(2):
        difference = pixels - round(image_files.pixels(image)[0])
        if abs(difference) <= 1:
            break
        layout += difference
        image = _draw(plan, choices, layout)
    return image


def _draw(plan: FigurePlan, choices: ExportChoices, layout: int) -> str:
    chart: VegaLite = plan.draw(layout) | {"padding": 4}
    colours = page_palette.DARK if choices.theme == "dark" else page_palette.LIGHT
    for parameter in chart.get("params", []):
        parameter["value"] = colours.get(parameter["name"], parameter["value"])
    for name in _RAMPS & chart["datasets"].keys():
        chart["datasets"][name] = _smooth_ramp(chart["datasets"][name])
    return draw_svg(chart)


def _smooth_ramp(ramp: Rows) -> Rows:
    """Return a legend's steps as one gradient, since printers leave seams between steps."""
    is_horizontal = "x0" in ramp[0]
    stops = [
        {"offset": (i + 0.5) / len(ramp), "color": step["fill"]} for i, step in enumerate(ramp)
    ]
    ends = {"x1": 0, "y1": 1, "x2": 0, "y2": 0}
    if is_horizontal:
        ends = {"x1": 0, "y1": 0, "x2": 1, "y2": 0}
    fill = {"gradient": "linear", "stops": stops, **ends}
    if is_horizontal:
        return [{"x0": 0, "x1": 1, "fill": fill}]
    return [{"y0": 0, "y1": 1, "fill": fill}]
