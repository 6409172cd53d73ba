"""The labels below the columns of a figure: tokens where these have room, else numbers."""

from __future__ import annotations

from collections.abc import Sequence

from attentropy.engine.trace.dataset import Trace
from attentropy.report.figures.sizes import LETTER, Size
from attentropy.report.figures.specification import Rows
from attentropy.report.read.characters import character_at
from attentropy.report.text import label


def numbers(start: int, stop: int, pixels: int) -> Rows:
    """Return round positions, as labels under columns that are too narrow for their tokens."""
    every = _round_step((stop - start) * 90 / pixels)
    first = -(-start // every) * every
    return [{"xc": i + 0.5, "text": f"{i:,}"} for i in range(first, stop, every)]


def _round_step(minimum: float) -> int:
    """Return the smallest of 1, 2, 5, 10, 20, … that is not less than `minimum`."""
    power = 1
    while True:
        for factor in (1, 2, 5):
            if factor * power >= minimum:
                return factor * power
        power *= 10


def label_letters(size: Size, columns: int) -> int:
    """Return the number of letters that fit under a column of the section.

    Labels of fewer than two letters are left out.
    """
    return int(size.section / max(1, columns) / LETTER)


def column_labels(tokens: Sequence[str], start: int, stop: int, letters: int) -> list[str]:
    """Return the texts under the columns of a section, cut to `letters`."""
    return [label(token, letters) for token in tokens[start:stop]]


def character_labels(trace: Trace, start: int, stop: int, letters: int) -> Rows:
    """Return the labels of a section's columns, one for all columns of a character."""
    tokens, labels, at = trace.tokens, [], start
    while at < stop:
        first, end = character_at(trace, at)
        end = min(end, stop)
        text = label(tokens[first], letters * (end - at))
        labels.append({"xc": (at + end) / 2, "text": text})
        at = end
    return labels
