"""The figures `lens` and `attention` with one column per word, message or segment.

A value is the mean over the unit's tokens. The cell of a word names what the word's last token
gives; those of longer units show their values.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.statistics import TOP_KEY_WITHOUT_SINKS
from attentropy.engine.trace.text import text_array
from attentropy.engine.trace.units import Units, aggregate, at_positions, units_of
from attentropy.report import planes
from attentropy.report.export.csv_table import CsvTable, Line
from attentropy.report.export.figure_rows import FigureRows
from attentropy.report.read.cells import CellText
from attentropy.report.read.maps import window_names
from attentropy.report.read.views import View
from attentropy.report.text import for_tooltip


@dataclass(frozen=True)
class _ValueView(View):
    """A view whose cells show their values."""

    def texts(self, start: int, stop: int, letters: int = 8) -> list[list[str]]:
        """Return the values in as many digits as their scale has."""
        is_small = self.scale.unit == "nats" or self.scale.high <= 1
        digits = 2 if is_small else self.scale.digits
        return [
            [f"{value:.{digits}f}" if np.isfinite(value) else "" for value in row]
            for row in self.values[:, start:stop]
        ]

    def inset_texts(
        self, column: int, letters: int, *, has_two_lines: bool
    ) -> Sequence[Sequence[CellText]]:
        """Return the values of one column."""
        return self.texts(column, column + 1)


@dataclass(frozen=True)
class UnitColumns:
    """A figure's rows with a column per unit of the kind `kind`, and which tokens each has."""

    kind: str
    units: Units
    rows: FigureRows

    @property
    def trace(self) -> Trace:
        """A trace whose positions are the units; see `_trace_of`."""
        return self.rows.view.trace

    @property
    def sentence(self) -> str:
        """What the caption says of the values and the texts of the cells."""
        cells = "cells name what the word's last token gives" if self.kind == "word" else ""
        cells = cells or "cells show it"
        return f"A value is the mean over the tokens of a {self.kind}; {cells}."

    def lines(self, trace: Trace) -> CsvTable:
        """Return the values drawn, one line each, with the tokens of each unit in `trace`."""
        columns = (self.kind, "text", "first position", "last position", "tokens", "layer", "head")
        return CsvTable((*columns, self.rows.column), self._lines(trace))

    def _lines(self, trace: Trace) -> Iterator[Line]:
        order, starts = self.units.members()
        ends = np.append(starts[1:], order.size) - 1
        tokens = trace.tokens
        for i, values in enumerate(self.rows.view.values.T):
            own = self.units.names[i] if self.kind != "word" else i
            place = int(order[starts[i]]), int(order[ends[i]])
            text = for_tooltip("".join(tokens[p] for p in order[starts[i] : ends[i] + 1]))
            for value, (entry, head) in zip(values, self.rows.cells, strict=True):
                name = None if self.rows.view.name == "lens" else "mean" if head is None else head
                layer = int(trace["layer"][entry])
                yield own, text, *place, int(self.units.tokens[i]), layer, name, value


def unit_columns(trace: Trace, rows: FigureRows, kind: str) -> UnitColumns:
    """Return the rows with a column per unit.

    Raises `UsageError` where the trace has no such units.
    """
    units = units_of(trace, kind)
    values = rows.view.values.astype(np.float64)
    if values.shape[1] < units.numbers.size:
        values = at_positions(trace, "query", values)
    values = aggregate(values, units)[1].astype(np.float32)
    drawn = _trace_of(rows.view.trace, units, kind)
    view = replace(rows.view, values=values, step=planes.tile_size(values.shape[1]), trace=drawn)
    if kind != "word":
        own = view.name, values, view.scale, view.step, drawn, view.title, view.readability
        view = _ValueView(*own)
    return UnitColumns(kind, units, replace(rows, view=view))


def _trace_of(trace: Trace, units: Units, kind: str) -> Trace:
    """Return a trace whose positions are the units, and whose values are those of the last tokens.

    Most attended tokens are units too. It has no exact weights.
    """
    order, starts = units.members()
    last = order[np.append(starts[1:], order.size) - 1]
    dataset = trace.dataset.drop_vars(window_names(trace))
    positions = np.arange(len(trace.tokens), dtype=np.int32)
    if dataset.sizes.get("query", positions.size) < positions.size:
        integers = [name for name in dataset.variables if dataset[name].dtype.kind == "i"]
        dataset = dataset.reindex(query=positions, fill_value=dict.fromkeys(integers, -1))
    dataset = dataset.isel({dim: last for dim in ("position", "query") if dim in dataset.sizes})
    dataset = dataset.assign_coords(token_text=("position", text_array(units.names)))
    for dim in ("position", "query"):
        if dim in dataset.sizes:
            dataset = dataset.assign_coords({dim: np.arange(len(last), dtype=np.int32)})
    for name in ("top_key", TOP_KEY_WITHOUT_SINKS):
        if name in dataset:
            keys = dataset[name].values
            numbers = np.where(keys >= 0, units.numbers[keys], -1).astype(np.int32)
            dataset = dataset.assign({name: (dataset[name].dims, numbers)})
    facts = dict(trace.attrs.get("prompt") or {})
    facts["tokens"] = int(np.count_nonzero(last < trace.prompt_tokens))
    return Trace(dataset.assign_attrs(prompt=facts))


def in_units(text: str, kind: str) -> str:
    """Return a label about positions as one about units."""
    return text.replace("position", kind).replace("pos.", kind)
