"""The rows of the figures `lens` and `attention`: their statistic, site, heads and labels."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.report import planes
from attentropy.report.compare.difference import Difference
from attentropy.report.export.choices import ExportChoices, head_index
from attentropy.report.read import plane_statistics as statistics
from attentropy.report.read import views
from attentropy.report.read.attention_layers import recorded_heads, require_attention
from attentropy.report.read.plane_statistics import PlaneStatistic
from attentropy.report.read.readability import ENTROPY_LIKE, readability
from attentropy.report.read.top_keys import top_keys
from attentropy.report.read.views import View
from attentropy.report.text import shorten, shorten_pair

RowCell = tuple[int, int | None]
"""A layer's index, and the number of a head: −1 for a recorded mean, None for the mean of all."""


@dataclass(frozen=True)
class HeadView(View):
    """The attention of single heads: `cells` are the (layer, head) indices of each row."""

    cells: tuple[tuple[int, int], ...] = ()

    def texts(self, start: int, stop: int, letters: int = 8) -> list[list[str]]:
        """Return the most attended token of every cell, cut to `letters`; of B − A, A's and B's."""
        if "top_key" not in self.trace:
            return [[""] * (stop - start) for _ in self.cells]
        if isinstance(self.trace, Difference):
            return self._pairs(self.trace, slice(start, stop), letters)
        tokens = self.trace["token_text"]
        return [
            [
                shorten(str(tokens[key]), letters) if key >= 0 else ""
                for key in top_keys(self.trace, entry, head, slice(start, stop)).tolist()
            ]
            for entry, head in self.cells
        ]

    def _pairs(self, difference: Difference, span: slice, letters: int) -> list[list[str]]:
        return [
            [shorten_pair(a, b, letters) if a is not None and b is not None else "" for a, b in row]
            for row in self.tokens_of_sides(difference, span)
        ]

    def tokens_of_sides(
        self, difference: Difference, span: slice
    ) -> list[list[tuple[str | None, str | None]]]:
        """Return the most attended token of A and that of B, None without one, by row."""
        tokens: dict[int, str | None] = {-1: None} | dict(enumerate(difference.tokens))
        sides = [difference.of_side("top_key", side) for side in (0, 1)]
        return [
            [
                (tokens[a], tokens[b])
                for a, b in zip(
                    *(side[entry, head, span].values.tolist() for side in sides), strict=True
                )
            ]
            for entry, head in self.cells
        ]


@dataclass(frozen=True)
class FigureRows:
    """The rows of a figure.

    `view` has the values, `what` the words for them, and `column` their heading in a table.
    `labels` are the names of the rows, `title` is the word for a row, and `cells` has the layer and
    head of each row. `is_default` is true if neither statistic nor site was chosen, so the figure
    shows what the page opens with.
    """

    view: View
    what: str
    column: str
    labels: list[str]
    title: str
    cells: list[RowCell]
    is_default: bool


def rows_of(trace: Trace, choices: ExportChoices) -> FigureRows:
    """Return the rows of the figure `lens` or `attention`.

    Raises:
        UsageError: a head that the trace does not contain.
    """
    is_lens = choices.figure == "lens"
    rows = _lens_rows(trace, choices) if is_lens else _attention_rows(trace, choices)
    if isinstance(trace, Difference):
        scale = views.difference_scale(rows.view.values, choices.range)
        view = replace(rows.view, scale=scale, title="B − A (nats)")
        return replace(rows, view=view, what=f"{rows.what}, B − A", column="B − A (nats)")
    possible = statistics.statistics_of(trace, choices.figure)
    statistic = next((stat for stat in possible if stat.name == choices.stat), None)
    if statistic is None:  # entropy
        return rows
    scale = statistic.scale.between(*choices.range) if choices.range else statistic.scale
    view = replace(rows.view, scale=scale, title=statistic.title)
    what = statistic.what + rows.what.removeprefix(rows.view.what)
    return replace(rows, view=view, what=what, column=_heading(statistic), is_default=False)


def _heading(statistic: PlaneStatistic) -> str:
    """Return the heading of the statistic's values in a table."""
    scale = statistic.scale
    unit = scale.unit or ("share, 0 to 1" if (scale.low, scale.high) == (0.0, 1.0) else "")
    return f"{statistic.label} ({unit})" if unit else statistic.label


def _layer_labels(trace: Trace) -> list[str]:
    return [str(int(layer)) for layer in trace["layer"]]


def _lens_rows(trace: Trace, choices: ExportChoices) -> FigureRows:
    """Return the rows of one site, read from a trace that contains no other site."""
    site = choices.site or trace.site
    view = views.read_view(trace, "lens", ends=choices.range)
    if site != trace.site:
        index = trace.sites.index(site)
        own = Trace(trace.dataset.isel(site=[index]))
        view = replace(view, trace=own, readability=readability(trace, site))
    if not choices.lens_skill or choices.stat not in ENTROPY_LIKE:
        view = replace(view, readability=None)
    view = replace(view, values=statistics.lens_values(trace, choices.stat, site))
    labels = _layer_labels(trace)
    what = view.what + views.site_words(site)
    cells: list[RowCell] = [(entry, None) for entry in range(len(labels))]
    return FigureRows(view, what, "entropy (nats)", labels, "layer", cells, site == trace.site)


def _attention_rows(trace: Trace, choices: ExportChoices) -> FigureRows:
    labels, title = _layer_labels(trace), "layer"
    names = trace["head"]
    head = head_index(names, choices.head)
    indices: list[tuple[int, int]] = []
    if head is not None:
        indices = [(entry, head) for entry in range(len(labels))]
        layers = [planes.read_layer(trace, choices.stat, entry, head) for entry, _ in indices]
        values = np.stack(layers).astype(np.float32)
    elif choices.layer is not None:
        title = f"head of layer {labels[choices.layer]}"
        indices, labels, values = _heads_of_layer(trace, choices.layer, choices.stat)
    else:
        values = planes.read_averages(trace, choices.stat).mean
    scale = views.entropy_scale(trace, "attention", choices.range)
    step = planes.tile_size(values.shape[1])
    view = View("attention", values, scale, step, trace)
    cells: list[RowCell] = [(entry, None) for entry in range(len(labels))]
    if indices:
        view = HeadView("attention", values, scale, step, trace, cells=tuple(indices))
        cells = [(entry, int(names[index])) for entry, index in indices]
    return FigureRows(view, view.what, "entropy (nats)", labels, title, cells, True)


def _heads_of_layer(
    trace: Trace, entry: int, stat: str
) -> tuple[list[tuple[int, int]], list[str], np.ndarray]:
    """Return the indices, the labels and the values of one layer's heads."""
    require_attention(trace, entry)
    heads = recorded_heads(trace, entry)
    values = planes.read_layer(trace, stat, entry, slice(len(heads))).astype(np.float32)
    return [(entry, index) for index in range(len(heads))], [head_name(h) for h in heads], values


def head_name(head: int) -> str:
    """Return the number of a head in words; −1 stands for the mean."""
    return "mean" if head < 0 else str(head)
