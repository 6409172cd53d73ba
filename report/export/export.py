"""One figure of the page as a file for a paper: SVG, PNG, PDF, or its values as CSV."""

from __future__ import annotations

from attentropy.engine.arguments import Span, read_choice, refuse
from attentropy.engine.errors import UsageError
from attentropy.engine.trace.dataset import Trace
from attentropy.report import palette as page_palette
from attentropy.report.compare.difference import Difference
from attentropy.report.export import (
    context_figure,
    entropy_figure,
    heads_figure,
    image_files,
    map_figure,
    profile_figure,
    sources_figure,
    story_figure,
)
from attentropy.report.export.choices import ExportChoices, Requests, check_choices
from attentropy.report.export.composed import compose
from attentropy.report.export.exported import Exported
from attentropy.report.export.figure_names import FORMATS
from attentropy.report.export.figure_plan import FigurePlan, make_caption
from attentropy.report.export.fonts import has_sign, name_sign_font, overhang
from attentropy.report.export.paragraphs import Paragraph, Run
from attentropy.report.export.units_table import units_table
from attentropy.report.figures.specification import Rows, VegaLite
from attentropy.report.page.document import draw_svg
from attentropy.report.read.ranges import Ends

# The font size of the labels in every figure of the page, in pixels: `font_size` points in print.
_LABEL = 11
_MM, _POINT = 25.4, 72.0  # per inch
_WIDTHS, _FONTS, _DPI = (30.0, 1000.0), (3.0, 30.0), (36, 2400)
_NARROWEST, _WIDEST = 240, 3000  # pixels that the layouts are made for
_MOST_PIXELS = 100_000_000  # of a PNG
_RAMPS = {"legend", "maplegend"}  # datasets of colours in steps
_PLANS = {
    "story": story_figure.plan,
    "lens": entropy_figure.plan,
    "attention": entropy_figure.plan,
    "map": map_figure.plan,
    "heads": heads_figure.plan,
    "context": context_figure.plan,
    "sources": sources_figure.plan,
    "profile": profile_figure.plan,
}


def export(
    trace: Trace,
    figure: str | None = None,
    format: str = "svg",
    *,
    by: str | None = None,
    stat: str | None = None,
    site: str | None = None,
    section: Span | None = None,
    inset: int | None = None,
    layer: int | None = None,
    head: int | None = None,
    score: str | None = None,
    palette: str | None = None,
    range: str | Ends | None = None,
    template_box: bool = True,
    lens_skill: bool = True,
    caption: bool = True,
    theme: str = "light",
    width: float = 180.0,
    font_size: float = 7.0,
    dpi: int = 300,
) -> Exported:
    """Return one figure of a trace as a file for a paper.

    The bytes are the same for the same trace, version and installed fonts.

    Args:
        trace: The trace.
        figure: "lens" (default), "attention", "map", "heads", "context", "sources", "profile", or
            "story": the headline of the page above the figure with which the page opens.
        format: "svg", "png", "pdf", or "csv" for the values drawn.
        by: "word", "message" or "segment": one column of "lens" or "attention" for each, with the
            mean over its tokens. As "csv" and without a `figure`, the sums and means of `Trace.by`:
            one line per unit, statistic and layer, with `layer` and `head` as below.
        stat: What the colours show. For "lens": "entropy", "lens_kl", "probability" or
            "lens_rank"; for "attention": "entropy", "normalized_entropy", "max_prob", … as far as
            the trace has them.
        site: Lens site: "residual", "translated", "attention" or "mlp".
        section: Positions to magnify (with `by`, units): "a:b", (a, b) or slice(a, b); in a map,
            those of its magnified region.
        inset: Position to magnify next to the section.
        layer: Layer. In "attention", `head` alone shows one head in every layer, `layer` alone the
            heads of one layer, both one head with the weights of that layer in the inset, and
            neither the mean over heads.
        head: Head, as above.
        score: Score that "heads" shows: "sink", "local", "previous", "induction", …
        palette: "diverging" (blue, white, red) or "cividis".
        range: Ends of the colour scale, (low, high) or "low:high", so that several figures share
            one; by default nothing is cut.
        template_box: Whether "lens" and "attention" frame the template tokens after the question.
        lens_skill: Whether "lens" shows the skill of each layer's lens, and dots layers where it is
            further from the model's output than a uniform guess.
        caption: Whether the picture has its caption below it. The caption is in the file's
            description in any case.
        theme: "light" or "dark".
        width: Width in print, in millimetres. A figure narrower than about 115 mm with labels of
            7 points is laid out as on a phone.
        font_size: Size of the labels in print, in points.
        dpi: Resolution of a PNG, in pixels per inch.

    Returns:
        The figure: `data` (bytes), `title` and `caption`. A notebook shows it; `save` writes it.

    Raises:
        UsageError: A choice that the figure or the trace does not have; the message names it.
        AttentropyError: The trace does not contain what the figure shows.

    Examples:
        >>> from attentropy import export, extract
        >>> figure = export(extract(), "lens", "csv", section=slice(-4, None))
        >>> figure.title, figure.format
        ('Logit-lens entropy', 'csv')
    """
    read_choice(format, "format", FORMATS)
    _check_range("width", width, _WIDTHS, "mm")
    _check_range("font_size", font_size, _FONTS, "points")
    _check_range("dpi", dpi, _DPI, "dpi")
    requests = {
        "by": by, "stat": stat, "site": site, "section": section, "inset": inset, "layer": layer,
        "head": head, "score": score, "palette": palette, "range": range,
        "template_box": None if template_box else False,
        "lens_skill": None if lens_skill else False,
    }  # fmt: skip
    if by is not None and figure is None and format == "csv":
        return _units(trace, by, requests)
    figure = figure or "lens"
    choices = check_choices(trace, figure, theme, requests)
    pixels = _layout_pixels(width, font_size)
    plan = _PLANS[figure](trace, choices, pixels)
    if format == "csv":
        data = plan.table.encode()
    else:
        colours = page_palette.DARK if theme == "dark" else page_palette.LIGHT
        below = [Paragraph((Run(plan.caption),), _LABEL)] if caption else []
        image = compose(_draw_to_width(plan, choices, pixels), plan.above, below, colours)
        data = _encode_image(image, format, width, dpi, plan)
    return Exported(data, plan.title, plan.caption, format)


def _units(trace: Trace, by: str, requests: Requests) -> Exported:
    """Return the statistics of a trace's units as CSV."""
    if isinstance(trace, Difference):
        raise UsageError("`by` does not apply to a comparison; export its two traces")
    for name, value in requests.items():
        if value is not None and name not in ("by", "layer", "head"):
            raise UsageError(f"`{name}` needs a `figure` with `by`; `figure='lens'`")
    title = f"Statistics by {by}"
    table = units_table(trace, by, requests["layer"], requests["head"])
    return Exported(table.encode(), title, make_caption(trace, title), "csv")


def _check_range(name: str, value: float, ends: tuple[float, float], unit: str) -> None:
    if not ends[0] <= value <= ends[1]:
        raise refuse(name, f"{ends[0]:g} to {ends[1]:g} {unit}", value)


def _layout_pixels(width: float, font_size: float) -> int:
    """Return the pixels of a layout whose labels have `font_size` points at `width` millimetres."""
    points = width / _MM * _POINT
    pixels = round(points / font_size * _LABEL)
    if not _NARROWEST <= pixels <= _WIDEST:
        limit = points * _LABEL / (_NARROWEST if pixels < _NARROWEST else _WIDEST)
        side = "at most" if pixels < _NARROWEST else "at least"
        raise UsageError(
            f"`font_size={font_size:g}` does not suit `width={width:g}`; use {side} {limit:.1f} "
            "points"
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
        raise UsageError(
            f"`dpi={dpi}` makes an image of more than {_MOST_PIXELS:,} pixels; use a lower one"
        )
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
    chart: VegaLite = plan.draw(layout)
    signs = [tick["text"] for tick in chart["datasets"].get("ticks", []) if has_sign(tick["text"])]
    chart["padding"] = {"left": 4, "top": 4, "bottom": 4, "right": 4 + _LABEL * overhang(signs)}
    colours = page_palette.DARK if choices.theme == "dark" else page_palette.LIGHT
    for parameter in chart.get("params", []):
        parameter["value"] = colours.get(parameter["name"], parameter["value"])
    for name in _RAMPS & chart["datasets"].keys():
        chart["datasets"][name] = _smooth_ramp(chart["datasets"][name])
    return name_sign_font(draw_svg(chart))


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
