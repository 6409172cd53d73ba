"""The heatmap figure: overview, section, inset, connectors, box and legend in one chart.

Positions that move (frame, section, inset) are parameters, and the values come from named datasets.
So the page changes a view by setting them and never writes a specification.
"""

from __future__ import annotations

import altair as alt

from attentropy.report.figures import crosshair
from attentropy.report.figures.hidden_sources import (
    hidden_columns,
    hidden_names,
    hidden_notes,
    hidden_title,
)
from attentropy.report.figures.inset import inset, inset_columns, inset_title
from attentropy.report.figures.legend import EDGE, legend_chart
from attentropy.report.figures.marks import (
    BLUE,
    GREEN,
    HAS_SPLIT,
    HAS_TEXT,
    INK,
    IS_REASONED,
    PAPER,
    PURPLE,
    answer_line,
    blank,
    dataset,
    frame,
    hatched,
    named_cells,
    picture,
    rule,
    text_mark,
    texts_of_cells,
    x_scale,
    y_scale,
)
from attentropy.report.figures.pins import (
    frames,
    matches_above,
    matches_below,
    numbered_cells,
    numbered_columns,
)
from attentropy.report.figures.readable_rows import bands, notes, strip, strip_title
from attentropy.report.figures.sizes import (
    CAPTION,
    FUNNEL,
    LABELS,
    STRIP,
    Size,
)
from attentropy.report.figures.specification import (
    Channels,
    Datasets,
    Parameters,
    VegaLite,
    layer,
    specification,
)

# The parts of the columns of hidden sources, from the strip above them to the caption's height.
_HIDDEN = (hidden_title, hidden_columns, hidden_names, hidden_notes)
_GAP_TO_LINE = 4  # pixels between the box and the line at which the answer begins
_BOLD_LETTER = 0.62  # width of a bold letter as a part of the font's size; more than most have
# Opacities (expressions): box and inset's column are drawn only if the section contains them.
_BOX_OPACITY = "box1 > a && box0 < b && box1 > box0 ? 1 : 0"
_COLUMN_OPACITY = "col >= a && col < b ? 1 : 0"
# The lines at which the answer begins and its reasoning ends.
_REASONED_OPACITY = f"{IS_REASONED} && reasoned > a && reasoned < b ? 1 : 0"
_SPLIT_OPACITY = f"{HAS_SPLIT} && split > a && split < b ? 1 : 0"
_OVERVIEW_SPLIT_OPACITY = f"{HAS_SPLIT} ? 1 : 0"


def heatmap(size: Size, state: Parameters, datasets: Datasets) -> VegaLite:
    """Return the specification of the figure.

    `state` has the first values of the parameters (see `heatmap_data.state`): n positions,
    rowcount, section and total (widths in pixels), a and b (section), col (inset), box0 and box1,
    split (where the answer begins), reasoned (where its reasoning ends), colours, font sizes.

    `datasets` are tile {url} of the overview and part {url} of the section, cells, columns, rows,
    inset, insetrows, insetcolumns, legend, ticks, histogram, ends and titles (see
    `heatmap_data.datasets`), those of missing values (see `hatch`), those of rows by how far their
    lens can be read (see `readable_rows`), those of hidden sources where the size has columns for
    them (see `hidden_sources`), and pins, matches, matchespart (see `pins`), dimmed (see
    `crosshair`, which also has parameters).
    """
    hidden = [(part(size),) if size.hidden else () for part in _HIDDEN]
    # One flat grid: nested charts would count as empty when only inner sizes are aligned.
    grid = (
        (inset_title(size), _arrow(size), *hidden[0], blank(size.legend, STRIP)),
        (inset(size), _section(size), *hidden[1], legend_chart(size)),
        (inset_columns(size), _column_labels(size), *hidden[2], blank(size.legend, LABELS)),
        (blank(size.inset, CAPTION), _caption(size), *hidden[3], blank(size.legend, CAPTION)),
    )
    body = {
        "concat": [part for row in grid for part in row],
        "columns": len(grid[0]),
        "align": "each",
        "bounds": "flush",
        "spacing": {"row": 0, "column": size.gap},
    }
    views = {
        "vconcat": [_overview_chart(size), _funnel_chart(size), body],
        "spacing": 0,
        "bounds": "flush",
    }
    padding = {"left": EDGE, "right": EDGE, "top": 16, "bottom": 4}
    state = {**crosshair.PARAMETERS, **state}
    datasets = {**dict.fromkeys(crosshair.DATASETS, ()), **datasets}
    return specification(views, state, datasets, padding)


def _overview_chart(size: Size) -> VegaLite:
    left, right = size.margins
    # The chart is as wide as its labels reach: this keeps its width where they change.
    room = rule(
        PAPER, f"{EDGE - left}", f"total + {size.right + right - EDGE}", "0", "0",
        opacity=0,
    )  # fmt: skip
    return layer(
        room,
        picture("tile", ("0", "n"), y_scale("y0:Q")),
        hatched("overviewhatch", ("0", "n"), "rowcount"),
        *bands("total", specks="overviewspecks"),
        answer_line("split / n * total", "-3", size.overview, _OVERVIEW_SPLIT_OPACITY),
        answer_line(
            "reasoned / n * total", "-3", size.overview, f"{IS_REASONED} ? 1 : 0", is_dashed=True
        ),
        frame(PURPLE, "a / n * total", "b / n * total", size.overview, 2.5),
        rule(
            GREEN, "(col + 0.5) / n * total", "(col + 0.5) / n * total",
            f"{size.overview}", f"{size.overview} + 6", strokeWidth=2,
        ),
        text_mark(
            "overviewlabels",
            x=alt.XValue(-6), y=alt.Y("y:Q", axis=None, scale=alt.Scale(domain=[0, 1])),
            align="right", baseline="middle", fontSize=10,
        ),
        text_mark(
            "overviewtitle", x=alt.XValue(0), y=alt.YValue(-6),
            align="left", baseline="bottom", fontSize=11,
        ),
        frames("0", "n"),
        numbered_columns(size.overview),
        matches_above(),
        *crosshair.overview_marks(size),
        resolve={"scale": {"y": "independent"}}, width=size.total, height=size.overview,
    )  # fmt: skip


def _funnel_chart(size: Size) -> VegaLite:
    """Return the lines from the overview's frame to the top of the strip above the section.

    They end there on a line as wide as the section, so that none of them crosses the arrow, which
    runs below it.
    """
    line: Channels = {"opacity": 0.75}
    ends = f"{size.left}", "total"
    return layer(
        rule(PURPLE, "a / n * total", ends[0], "0", f"{FUNNEL}", **line),
        rule(PURPLE, "b / n * total", ends[1], "0", f"{FUNNEL}", **line),
        rule(PURPLE, *ends, f"{FUNNEL}", f"{FUNNEL}", **line),
        width=size.total,
        height=FUNNEL,
    )


def _section_pixels(position: str) -> str:
    """Return a position in pixels of the section (an expression), clamped to the section.

    So whatever lies outside of the section still has finite bounds.
    """
    return f"clamp(({position} - a) / (b - a), 0, 1) * section"


def _column_pixels(offset: float) -> str:
    return _section_pixels(f"col + {offset}")


def _arrow(size: Size) -> VegaLite:
    """Return the strip above the section: the arrow from the inset to its column, on light purple.

    The word "answer" stands above the arrow, at the line where the answer begins.
    """
    middle = _column_pixels(0.5)
    opacity = alt.OpacityValue(alt.ExprRef(_COLUMN_OPACITY))
    ground = (
        dataset("one")
        .mark_rect(color=PURPLE, opacity=0.07)
        .encode(
            x=alt.XValue(0), x2=alt.X2Value(alt.ExprRef("section")),
            y=alt.YValue(0), y2=alt.Y2Value(STRIP),
        )
    )  # fmt: skip
    head = (
        dataset("one")
        .mark_point(shape="triangle-down", color=GREEN, filled=True, size=70)
        .encode(x=alt.XValue(alt.ExprRef(middle)), y=alt.YValue(STRIP - 4), opacity=opacity)
    )
    # Where the answer begins at the section's right end, the word stands at the line's left.
    split, width = _section_pixels("split"), 44
    word = (
        dataset("one")
        .transform_calculate(
            text=f"{HAS_SPLIT} && split >= a && split < b ? 'answer' : ''",
            at=f"min({split} + 5, section - {width})",
        )
        .mark_text(align="left", baseline="top", fontSize=11, fontWeight="bold", color=INK)
        .encode(
            x=alt.X("at:Q", axis=None, scale=None), y=alt.YValue(2), text=alt.Text("text:N")
        )
    )  # fmt: skip
    line = {"strokeWidth": 2}
    return layer(
        ground,
        rule(GREEN, f"-{size.gap}", middle, "19", "19", **line).encode(opacity=opacity),
        rule(GREEN, middle, middle, "18", f"{STRIP - 6}", **line).encode(opacity=opacity),
        head,
        word,
        width=size.section,
        height=STRIP,
    )


def _section(size: Size) -> VegaLite:
    x, y = x_scale("x0:Q", "a", "b"), y_scale("y0:Q")
    cells = dataset("cells").encode(x=x, y=y)
    box0, box1 = (_section_pixels(name) for name in ("box0", "box1"))
    box1 = f"{box1} - (box1 == split && {HAS_SPLIT} ? {_GAP_TO_LINE} : 0)"
    left, right = (_column_pixels(offset) for offset in (0, 1))
    centre: Channels = {"x": x_scale("xc:Q", "a", "b"), "y": y_scale("yc:Q")}
    return layer(
        picture("part", ("a", "b"), y_scale("y0:Q")),
        cells.transform_filter(HAS_TEXT)
        .mark_rect(clip=True, stroke="#ffffff", strokeWidth=0.6, strokeOpacity=0.7)
        .encode(x2=alt.X2("x1"), y2=alt.Y2("y1"), fill=alt.Fill("fill:N", scale=None)),
        hatched("hatch", ("a", "b"), "rowcount"),
        *bands("section"),
        named_cells("cells").encode(x=x, x2=alt.X2("x1"), y=y, y2=alt.Y2("y1")),
        *(
            mark.encode(**centre)
            for mark in texts_of_cells("cells", "cellfont", "section / (b - a)", clip=True)
        ),
        crosshair.dimmed(size),
        text_mark(
            "rows", x=alt.XValue(-7), y=y_scale("yc:Q"), align="right",
            baseline="middle", fontSize=11,
        ),
        answer_line(_section_pixels("split"), f"-{STRIP}", size.height + LABELS, _SPLIT_OPACITY),
        answer_line(
            _section_pixels("reasoned"), "-6", size.height + LABELS, _REASONED_OPACITY,
            is_dashed=True,
        ),
        frame(PURPLE, "0", "section", size.height, 2.5),
        frame(BLUE, box0, box1, size.height + LABELS, 2.5, _BOX_OPACITY),
        frame(GREEN, left, right, size.height, 2.5, _COLUMN_OPACITY),
        *notes(size),
        *strip(size),
        frames("a", "b"),
        *numbered_cells(),
        *crosshair.cells(size),
        width=size.section, height=size.height,
    )  # fmt: skip


def _column_labels(size: Size) -> VegaLite:
    labels = text_mark(
        "columns", x=x_scale("xc:Q", "a", "b"), y=alt.YValue(LABELS / 2), align="center",
        baseline="middle", fontSize=alt.ExprRef("labelfont"), clip=True,
    )  # fmt: skip
    # The name of the rows stands below their labels, where it covers none.
    title = text_mark(
        "rowtitle", x=alt.XValue(-4 if size.is_narrow else -7), y=alt.YValue(LABELS / 2),
        align="right", baseline="middle", fontSize=11, color="muted",
    )  # fmt: skip
    return layer(
        labels, title, strip_title(size), matches_below(), *crosshair.column_tags(),
        width=size.section, height=LABELS,
    )  # fmt: skip


def _caption(size: Size) -> VegaLite:
    """Return the caption below the box, right-aligned: the box stands at the prompt's end.

    It is never cut: it moves to the right where there is no room for it at the left, and takes a
    smaller font where it is longer than the figure is wide.
    """
    largest, smallest = (11, 10) if size.is_narrow else (12, 10)
    letters = "max(1, length(datum.line))"
    font = f"clamp(total / ({_BOLD_LETTER} * {letters}), {smallest}, {largest})"
    left_end = f"{_BOLD_LETTER} * datum.font * {letters} - {size.left}"
    return layer(
        dataset("caption")
        .transform_calculate(line="split(datum.text, '\\n')[0]")
        .transform_calculate(font=font)
        .transform_calculate(at=f"min(section, max({_section_pixels('box1')}, {left_end}))")
        .mark_text(align="right", baseline="top", fontWeight="bold", color=BLUE, lineBreak="\n")
        .encode(
            x=alt.X("at:Q", axis=None, scale=None), y=alt.YValue(2 if size.is_narrow else 8),
            text=alt.Text("text:N"),
            size=alt.Size("font:Q", scale=None, legend=None),
            opacity=alt.OpacityValue(alt.ExprRef(_BOX_OPACITY)),
        ),
        width=size.section, height=CAPTION,
    )  # fmt: skip
