"""The tables of what each decisive word rests on: a row for each part of the prompt."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from attentropy.report.content.chart_table import Cell, ChartTable, Column
from attentropy.report.content.source_words import layer_range
from attentropy.report.figures.effects_chart import by_strength, shown_words
from attentropy.report.read.tested_words import Effect, Sources, TestedWord
from attentropy.report.text import cut
from attentropy.report.units import equals_probability, percent, probability

_ROWS = 64  # of a table
_COLUMNS = 60  # of a part of the prompt
_UNTESTED, _NO_CONTROL = "not tested", "no control"

_Read = Callable[[TestedWord, Effect], Cell]


def source_tables(sources: Sources | None, layers: Sequence[str]) -> dict[str, ChartTable]:
    """Return a table for each word of the chart, by name; nothing where nothing was tested."""
    if sources is None:
        return {}
    columns = [*_shown_first(layers), *_changes(sources.versus), *_others()]
    words = shown_words(sources)
    return {f"sources-{i}": _table(i, word, columns) for i, word in enumerate(words)}


def _table(index: int, word: TestedWord, columns: Sequence[tuple[Column, _Read]]) -> ChartTable:
    effects = by_strength(word)[:_ROWS]
    cells = [(column, [read(word, one) for one in effects]) for column, read in columns]
    shown = [(column, own) for column, own in cells if any(own)]
    which = f", the {_ROWS} strongest" if len(word.effects) > _ROWS else ""
    return ChartTable(
        f"table-sources-{index}",
        f"“{word.text}” ({equals_probability(word.probability)}): parts of the prompt{which}",
        [column for column, _ in shown],
        [list(row) for row in zip(*(own for _, own in shown), strict=True)],
        marked=sum(one.is_source for one in effects),
    )


def _shown_first(layers: Sequence[str]) -> list[tuple[Column, _Read]]:
    """Return the columns that a telephone shows without scrolling."""
    return [
        (Column("part", number=False), lambda _, one: cut(one.span.title, _COLUMNS)),
        (Column("result", number=False), lambda _, one: one.label),
        (
            Column("p when hidden", gap=_UNTESTED),
            lambda word, one: _p(word, one.hidden),
        ),
        (
            Column("read in", number=False, gap=_UNTESTED),
            lambda _, one: (layer_range(one.reads, layers) or None) if one.is_source else "",
        ),
        (
            Column("p, alone", gap=_UNTESTED),
            lambda word, one: _p(word, one.alone) if one.has_copies else "",
        ),
        (Column("role", number=False), lambda _, one: one.span.role),
    ]


def _changes(versus: str) -> list[tuple[Column, _Read]]:
    change = "change of ln p (nats)"

    def column(name: str, gap: str = _UNTESTED) -> Column:
        return Column(name, group=change, gap=gap)

    return [
        (column("hidden"), lambda _, one: _nats(one.hidden)),
        (column("alone"), lambda _, one: _nats(one.alone) if one.has_copies else ""),
        (column("its copies alone"), lambda _, one: _copies(one)),
        (column("control 5 %", _NO_CONTROL), lambda _, one: _nats(one.low)),
        (column("control 95 %", _NO_CONTROL), lambda _, one: _nats(one.high)),
        (column("from the prompt too"), lambda _, one: _nats(one.total)),
        (column("its control 5 %", _NO_CONTROL), lambda _, one: _nats(one.total_low)),
        (column("its control 95 %", _NO_CONTROL), lambda _, one: _nats(one.total_high)),
        (column("removed"), lambda _, one: _nats(one.removed)),
        (
            column(f"answer − “{versus}”"),
            lambda _, one: _nats(one.span.versus) if versus else None,
        ),
    ]


def _others() -> list[tuple[Column, _Read]]:
    return [
        (
            Column("p when only it is visible", gap=_UNTESTED),
            lambda word, one: _p(word, one.enough) if one.span.role == "evidence" else "",
        ),
        (Column("attention"), lambda _, one: _share(one.span.mass)),
    ]


def _p(word: TestedWord, effect: float) -> Cell:
    return probability(word.changed(effect)) if np.isfinite(effect) else None


def _copies(effect: Effect) -> Cell:
    """Return what the copies do alone, measured where they make the difference."""
    return _nats(effect.copies) if np.isfinite(effect.copies) else ""


def _nats(value: float) -> Cell:
    """Return a change in three decimals, which is finer than any floor."""
    if not np.isfinite(value):
        return None
    digits = f"{abs(value):.3f}"
    return f"−{digits}" if value < 0 and float(digits) else digits


def _share(value: float) -> Cell:
    return percent(value) if np.isfinite(value) else None
