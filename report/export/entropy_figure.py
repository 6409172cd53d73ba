"""The figures `lens` and `attention`: overview, section and inset, placement as on the page."""

from __future__ import annotations

from dataclasses import replace

from attentropy.engine.errors import AttentropyError, UsageError
from attentropy.engine.trace.dataset import Trace
from attentropy.report.compare.difference import Difference
from attentropy.report.content.captions import split_sentence
from attentropy.report.export.choices import ExportChoices
from attentropy.report.export.csv_table import CsvTable, token
from attentropy.report.export.entropy_lines import columns_of, lines_of
from attentropy.report.export.figure_plan import FigurePlan, colour_sentence, make_caption
from attentropy.report.export.figure_rows import FigureRows, head_name, rows_of
from attentropy.report.export.fitted_texts import fit_texts
from attentropy.report.export.unit_columns import in_units, unit_columns
from attentropy.report.export.upright_labels import FEWEST, has_upright_labels, write_upright
from attentropy.report.figures import column_labels, exact_weights, heatmap_data
from attentropy.report.figures.heatmap import heatmap
from attentropy.report.figures.placement import (
    Placement,
    box_caption,
    in_sentence,
    place,
    without_box,
)
from attentropy.report.figures.sizes import CELL_MARGIN, Size, fit_to_width
from attentropy.report.figures.specification import Row, Rows, VegaLite
from attentropy.report.findings.observations import observe
from attentropy.report.read.attention_layers import attention_entry
from attentropy.report.read.top_keys import hidden_keys, leaves_sinks_out

_COMPARED = {
    "lens": "lens_change",
    "attention": "heads",
}  # figure -> the finding about a difference
_LEAST_LETTER = 5.0  # pixels of width per letter of the words at the box
_BEFORE_WORDS = {0: "", 1: " and the position before it", 2: " and the two positions before it"}


def plan(trace: Trace, choices: ExportChoices, pixels: int) -> FigurePlan:
    """Return the figure `lens` or `attention`.

    Raises:
        UsageError: an inset outside of the section.
        AttentropyError: the trace has no such entropies.
    """
    _check_recorded(trace, choices.figure)
    rows = rows_of(trace, choices)
    columns = None if choices.by is None else unit_columns(trace, rows, choices.by)
    shown, kind = trace, "position"
    if columns is not None:
        shown, rows, kind = columns.trace, columns.rows, columns.kind
    elif isinstance(trace, Difference):
        kind = "column"
    size = fit_to_width(len(rows.labels), pixels)
    placement = _placement(shown, choices, size.columns)
    # The row of the inset's weights: the chosen layer, or the first row where a row is a head.
    row = 0
    if choices.figure == "attention" and rows.title == "layer":
        row = attention_entry(trace, choices.layer, choices.head)
    entry, head = rows.cells[row]
    inset = None
    if choices.figure == "attention":
        inset = exact_weights.inset(shown, placement.column, entry, head)
        inset = inset and exact_weights.fit_queries(inset, size.inset)

    def draw(width: int) -> VegaLite:
        return _chart(
            shown, choices.palette, width, placement, rows, rows.cells[row], inset, kind
        )  # fmt: skip

    live = _has_texts(size, placement, len(rows.labels))
    title = rows.what[0].upper() + rows.what[1:]
    title += f" by {kind}" if columns is not None else ""
    has_split = shown.prompt_tokens < shown.dataset.sizes["position"]
    caption = make_caption(
        trace, title, _overview_sentence(rows, placement, live, kind),
        columns.sentence if columns is not None else "",
        rows.view.readability.sentences(rows.labels).strip() if rows.view.readability else "",
        _inset_sentence(rows, row, placement, inset, size.inset >= 120, kind),
        f"Blue box: {in_sentence(placement.caption)}." if _has_box(placement) else "",
        colour_sentence(rows.view.scale, choices.palette),
        split_sentence(trace).strip() if has_split else "",
        _finding(trace, choices, rows) if columns is None else "",
    )  # fmt: skip
    table = CsvTable(columns_of(rows), lines_of(trace, rows, row, placement, inset, live))
    table = table if columns is None else columns.lines(trace)
    return FigurePlan(draw, title, caption, table)


def _check_recorded(trace: Trace, figure: str) -> None:
    variable = {"lens": "lens_entropy", "attention": "entropy"}[figure]
    if variable not in trace:
        argument = '`lens="residual"`' if figure == "lens" else '`stats="entropy"`'
        raise AttentropyError(f"the trace has no {figure} entropy; extract it with {argument}")


def _chart(
    trace: Trace, palette: str, width: int, placement: Placement, rows: FigureRows,
    cell: tuple[int, int | None], inset: exact_weights.InsetWeights | None, kind: str,
) -> VegaLite:  # fmt: skip
    """Return the chart for a layout of `width` pixels.

    `cell` is the row of the inset's weights, `kind` what a column stands for.
    """
    count = len(rows.labels)
    size = fit_to_width(count, width)
    data = heatmap_data.datasets(trace, size, placement, rows.view, rows.labels, palette)
    state = heatmap_data.state(trace, size, placement, rows.view)
    _fit_cells(data, rows, size, placement, state)
    if size.is_narrow:
        data["caption"] = [_short_caption(row, size) for row in data["caption"]]
    if rows.title != "layer":
        data["rowtitle"] = [{"text": rows.title}]
        for title in data["overviewtitle"]:
            title["text"] = title["text"].replace("every layer", "every head")
    if kind not in ("position", "column"):
        for title in (*data["overviewtitle"], *data["insettitle"]):
            title["text"] = in_units(title["text"], kind)
    if inset is not None:
        entry, head = cell
        inset_title = f"layer {int(trace['layer'][entry])}"
        if not inset.mean:
            inset_title += f" head {head}"
        elif not size.is_narrow:
            inset_title = f"weights, {inset_title}"
        data |= exact_weights.datasets(trace, inset, inset_title, size.inset)
        state |= exact_weights.state(inset, size.height)
    spec = heatmap(size, state, data)
    if has_upright_labels(size, placement.stop - placement.start):
        write_upright(spec, size, trace.tokens, placement.start, placement.stop)
    return spec


def _has_texts(size: Size, placement: Placement, rows: int) -> bool:
    """Return whether the cells of the section have room for texts of more than some letters."""
    columns = placement.stop - placement.start
    is_live = heatmap_data.is_live(size, columns, rows)
    return is_live and column_labels.label_letters(size, columns) >= FEWEST


def _short_caption(row: Row, size: Size) -> Row:
    """Return the words at the box; without their numbers where these would make them tiny.

    The caption below the figure has the numbers.
    """
    text = str(row["text"])
    for mark in (" (", ": "):
        if size.total / len(text or " ") < _LEAST_LETTER:
            text = text.partition(mark)[0]
    return {**row, "text": text}


def _fit_cells(
    data: dict[str, Rows], rows: FigureRows, size: Size, placement: Placement, state: Row
) -> None:
    """Cut the texts of section and inset, and the labels of columns, to the width of a cell."""
    view, start, stop = rows.view, placement.start, placement.stop
    letters = heatmap_data.cell_letters(size, stop - start)
    room = size.section / (stop - start) - CELL_MARGIN
    if not _has_texts(size, placement, len(rows.labels)):
        data["cells"] = [{**cell, "text": ""} for cell in data["cells"]]
    else:
        fit_texts(
            data["cells"], lambda k: view.texts(start, stop, k), letters, room, state["cellfont"]
        )
    label_letters = column_labels.label_letters(size, stop - start)
    if label_letters >= 2:  # tokens, not numbers
        tokens = view.trace.tokens
        fit_texts(
            data["columns"],
            lambda k: [column_labels.column_labels(tokens, start, stop, k)],
            label_letters, room, state["labelfont"],
        )  # fmt: skip
    fit_texts(
        data["inset"],
        lambda k: heatmap_data.inset_texts(view, size, placement.column, k),
        size.inset_letters, size.inset - CELL_MARGIN, state["insetfont"],
    )  # fmt: skip


def _placement(trace: Trace, choices: ExportChoices, columns: int) -> Placement:
    """Return the placement of the page; the default section moves so that it contains the inset."""
    placement = place(trace, columns, choices.section)
    # Another site has no rehearsal, or not the one that the box names.
    view = choices.figure if choices.site in ("", trace.site) else ""
    placement = replace(placement, caption=box_caption(view, placement))
    if not choices.template_box:
        placement = without_box(placement)
    if choices.inset is None:
        return _with_weights(trace, placement) if choices.figure == "attention" else placement
    start, stop, column = placement.start, placement.stop, choices.inset
    if choices.section is not None and not start <= column < stop:
        raise UsageError(
            f"`inset` {column} is outside `section` {start}:{stop}; leave one of them out"
        )
    shift = min(0, column - start) + max(0, column + 1 - stop)
    return replace(placement, start=start + shift, stop=stop + shift, column=column)


def _with_weights(trace: Trace, placement: Placement) -> Placement:
    """Return the placement with its inset where the trace has exact weights, if it shows any.

    Few traces have those of the answer's queries.
    """
    last = trace.prompt_tokens - 1
    has_own = exact_weights.window_of(trace, placement.column) is not None
    has_other = exact_weights.window_of(trace, last) is not None
    is_shown = placement.start <= last < placement.stop
    return replace(placement, column=last) if has_other and is_shown and not has_own else placement


def _has_box(placement: Placement) -> bool:
    """Return whether the section shows a part of the box, and the box has a caption."""
    return (
        bool(placement.caption)
        and placement.box_start < placement.stop
        and placement.box_stop > placement.start
    )


def _overview_sentence(rows: FigureRows, placement: Placement, live: bool, kind: str) -> str:
    trace = rows.view.trace
    what = f"one row per layer, layer {rows.labels[0]} at the bottom"
    if rows.title != "layer":
        what = f"one row per {rows.title}"
    elif rows.view.name == "attention":
        head = rows.cells[0][1]
        what += ", mean over heads" if head is None else f", head {head_name(head)}"
    mean = f", each column the mean of {rows.view.step} {kind}s" if rows.view.step > 1 else ""
    names = ", whose cells show the lens's top token"
    if rows.view.name != "lens":
        besides = " besides sink keys" if leaves_sinks_out(trace) else ""
        shown = f", whose cells show the most attended token{besides}"
        names = shown if "top_key" in trace else ""
    names = names if live else ""
    if isinstance(trace, Difference) and names:
        names += " in A → in B"
    names = names if kind in ("position", "column") else ""
    return (
        f"Top: every {kind} ({what}{mean}); the purple frame is magnified below ({kind}s "
        f"{placement.start:,} to {placement.stop - 1:,}){names}."
    )


def _inset_sentence(
    rows: FigureRows, row: int, placement: Placement,
    inset: exact_weights.InsetWeights | None, is_wide: bool, kind: str,
) -> str:  # fmt: skip
    trace = rows.view.trace
    position = f"{kind} {placement.column:,} ({token(trace['token_text'], placement.column)})"
    if inset is None:
        has_probability = rows.view.name == "lens" and is_wide and kind in ("position", "word")
        probability = ", with the probability of the top token" if has_probability else ""
        return f"Green: {position} magnified{probability}."
    entry, head = rows.cells[row]
    besides = " besides sink keys" if hidden_keys(trace, entry) else ""
    heads = f"head {head_name(head if head is not None else -1)}"
    return (
        f"Green: exact attention weights in layer {int(trace['layer'][entry])} "
        f"({'mean over heads' if inset.mean else heads}) of {position}"
        f"{_BEFORE_WORDS[len(inset.queries) - 1]} (columns) over the keys that it attends to most"
        f"{besides} (rows), from white (0) to dark blue (1)."
    )


def _finding(trace: Trace, choices: ExportChoices, rows: FigureRows) -> str:
    """Return the first finding about the values shown.

    If they are not those that the page opens with, the finding must be about the same statistic.
    """
    if isinstance(trace, Difference):
        about = _COMPARED[choices.figure]
        return next((finding.text for finding in observe(trace) if finding.id == about), "")
    findings = (finding for finding in observe(trace) if finding.view == choices.figure)
    if not rows.is_default:
        same_site = choices.site in ("", trace.site)
        findings = (f for f in findings if same_site and f.statistic == choices.stat)
    return next((finding.text for finding in findings), "")
