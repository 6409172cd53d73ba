"""The tables of what each decisive word rests on: a row for each part of the prompt."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from attentropy.report.content.chart_table import Cell, ChartTable, Column, number
from attentropy.report.figures.effects_chart import by_strength, shown_words
from attentropy.report.read.tested_words import Effect, Sources, TestedWord, cut
from attentropy.report.units import equals_probability, percent, probability

_ROWS = 64  # of a table
_LETTERS = 60  # of a part of the prompt

_Read = Callable[[TestedWord, Effect], Cell]


def source_tables(sources: Sources | None, layers: Sequence[str]) -> dict[str, ChartTable]:
    """Return a table for each word of the chart, by name; nothing where nothing was tested."""
    if sources is None:
        return {}
    words = shown_words(sources)
    return {f"sources-{i}": _table(i, word, layers) for i, word in enumerate(words)}


def _table(index: int, word: TestedWord, layers: Sequence[str]) -> ChartTable:
    effects = by_strength(word)[:_ROWS]
    columns = [
        (column, [read(word, one) for one in effects])
        for column, read in _columns(layers)
    ]  # fmt: skip
    shown = [(c, cells) for c, cells in columns if any(cell is not None for cell in cells)]
    which = f", the {_ROWS} strongest" if len(word.effects) > _ROWS else ""
    return ChartTable(
        f"table-sources-{index}",
        f"“{word.text}” ({equals_probability(word.probability)}): parts of the prompt{which}",
        [column for column, _ in shown],
        [list(row) for row in zip(*(cells for _, cells in shown), strict=True)],
    )


def _columns(layers: Sequence[str]) -> list[tuple[Column, _Read]]:
    text = [
        (Column("part", number=False), lambda _, one: cut(one.span.name, _LETTERS)),
        (Column("role", number=False), lambda _, one: one.span.role or None),
        (Column("result", number=False), lambda _, one: one.label),
    ]  # fmt: skip
    change = "change of ln p (nats)"
    numbers: list[tuple[Column, _Read]] = [
        (Column("hidden with copies", group=change), lambda _, one: number(one.hidden)),
        (Column("hidden alone", group=change), lambda _, one: number(one.alone)),
        (Column("control 5 %", group=change), lambda _, one: number(one.low)),
        (Column("control 95 %", group=change), lambda _, one: number(one.high)),
        (Column("from the prompt too", group=change), lambda _, one: number(one.total)),
        (Column("with copies", group="p when hidden"), lambda word, one: _p(word, one.hidden)),
        (Column("alone", group="p when hidden"), lambda word, one: _p(word, one.alone)),
        (Column("p when it alone is visible"), lambda word, one: _p(word, one.enough)),
        (Column("attention"), lambda _, one: _share(one.span.mass)),
        (Column("read in layers", number=False), lambda _, one: _band(one, layers)),
    ]
    return [*text, *numbers]


def _p(word: TestedWord, effect: float) -> Cell:
    return probability(word.changed(effect)) if np.isfinite(effect) else None


def _share(value: float) -> Cell:
    return percent(value) if np.isfinite(value) else None


def _band(one: Effect, layers: Sequence[str]) -> Cell:
    if one.reads is None:
        return None
    first, last = (layers[entry] for entry in one.reads)
    return first if first == last else f"{first} to {last}"
