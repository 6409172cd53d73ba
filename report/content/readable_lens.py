"""How far the lens of each site can be read, as the page's script needs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.report.figures import readable_rows
from attentropy.report.figures.sizes import Size
from attentropy.report.figures.specification import Rows
from attentropy.report.read.plane_statistics import lens_sites
from attentropy.report.read.readability import (
    GUESS,
    PALE,
    UNREADABLE,
    Readability,
    readability,
    skill_words,
)

_DIGITS = 4  # of a skill in the page


@dataclass(frozen=True)
class ReadableLens:
    """One site's lens: skill, kind and words of each row, the rows' edges, and their marks.

    `skill` is None where it is not measured. `title` stands above the figure and `sentences` below
    it. `marks` has by width the datasets of rows that cannot be read, and the rows' labels.
    """

    skill: list[float | None]
    kinds: list[str]
    words: list[list[str]]
    edges: list[float]
    title: str
    sentences: str
    marks: Mapping[str, Mapping[str, Rows]]

    @property
    def is_marked(self) -> bool:
        """Whether some row is faded or dotted."""
        return not {PALE, UNREADABLE}.isdisjoint(self.kinds)


def readable_lenses(
    trace: Trace, rows: Sequence[str], sizes: Mapping[str, Size]
) -> dict[str, ReadableLens]:
    """Return how far the lens can be read, by site; nothing for sites where nobody knows."""
    own = {site: readability(trace, site) for site in lens_sites(trace)}
    return {
        site: _readable_lens(lens, rows, sizes) for site, lens in own.items() if lens is not None
    }


def _readable_lens(
    lens: Readability, rows: Sequence[str], sizes: Mapping[str, Size]
) -> ReadableLens:
    layout = readable_rows.row_layout(lens, len(rows))
    marks = {}
    for width, size in sizes.items():
        own = readable_rows.datasets(lens, layout, rows, size)
        labels = readable_rows.row_labels(layout, rows, size)
        marks[width] = {name: own[name] for name in readable_rows.MARKS} | {"rows": labels}
    return ReadableLens(
        skill=[round(v, _DIGITS) if np.isfinite(v) else None for v in lens.skill.tolist()],
        kinds=lens.kinds,
        words=[_words(lens, row) for row in range(len(rows))],
        edges=layout.edges,
        title=lens.title(rows),
        sentences=lens.sentences(rows),
        marks=marks,
    )


def _words(lens: Readability, row: int) -> list[str]:
    """Return the lines of a tooltip about one row."""
    own = skill_words(lens, row)
    is_guess = lens.kinds[row] == UNREADABLE
    return [line for line in (own, GUESS if is_guess else "") if line]
