"""How far the lens of a view can be read at each layer: kinds of rows, and words for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import singledispatch

import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.lens_skill import FEW_POSITIONS, READABLE, LensSkill, lens_skill
from attentropy.report.compare.difference import Difference
from attentropy.report.read.layer_words import layers_in_words
from attentropy.report.units import count

WELL, PALE, UNREADABLE, UNKNOWN = "well", "pale", "unreadable", ""
GUESS = "further from the model's output than a uniform guess"
# The lens's statistics whose values say little where the lens cannot be read.
ENTROPY_LIKE = ("entropy", "probability")


@dataclass(frozen=True)
class Readability:
    """The skill of a lens per layer, of one trace or of both sides of a difference.

    `sides` has the skill of each; a row of a difference is as readable as its worse side.
    """

    sides: tuple[LensSkill, ...]

    @property
    def skill(self) -> np.ndarray:
        """The skill that decides how a row is drawn, [layer]; NaN where not measured."""
        lower: np.ndarray = np.min([side.skill for side in self.sides], 0)
        return lower

    @property
    def positions(self) -> int:
        """The number of positions that the skill is a mean over."""
        return min(side.positions for side in self.sides)

    @property
    def kinds(self) -> list[str]:
        """How each row can be read: WELL, PALE, UNREADABLE, or UNKNOWN."""
        return [_kind(value) for value in self.skill.tolist()]

    def rows_of(self, kind: str) -> list[int]:
        """Return the indices of the rows of one kind."""
        return [row for row, own in enumerate(self.kinds) if own == kind]

    def title(self, labels: Sequence[str]) -> str:
        """Return in which layers the lens is readable, in a few words."""
        well, measured = self.rows_of(WELL), [kind for kind in self.kinds if kind != UNKNOWN]
        of = f"{len(measured)} read" if len(measured) < len(self.kinds) else f"{len(measured)}"
        both = " in both" if len(self.sides) > 1 else ""
        few = f" (few positions: {self.positions})" if self.positions < FEW_POSITIONS else ""
        if len(well) == len(measured):
            where = f"all {len(measured)} layers" if len(measured) > 1 else "its one layer"
        elif not well:
            where = f"none of {len(measured)} layers"
        else:
            where = f"{layers_in_words(well, labels)} of {of}"
        return f"lens readable{both} in {where}{few}"

    def sentences(self, labels: Sequence[str]) -> str:
        """Return what the caption says of the rows, after a blank."""
        title = self.title(labels)
        parts = [f"{title[0].upper()}{title[1:]}"]
        if pale := self.rows_of(PALE):
            named = layers_in_words(pale, labels)
            parts.append(
                f"faded: {named} (skill under {READABLE:g}, colours only as a bar below the text)"
            )
        if unreadable := self.rows_of(UNREADABLE):
            parts.append(f"dotted: {layers_in_words(unreadable, labels)}, {GUESS}")
        skill = "the lower lens skill of A and B" if len(self.sides) > 1 else "lens skill"
        return f" {'; '.join(parts)}. Bars at the right: {skill} in each layer."


def skill_words(readability: Readability, row: int) -> str:
    """Return skill and agreement of one row in words; empty where they are not measured."""
    if not np.isfinite(readability.skill[row]):
        return ""
    names = "AB" if len(readability.sides) > 1 else " "
    parts = [
        f"{name.strip()} {side.skill[row]:.2f}".strip().replace("-", "−")
        + f" (agreement {side.agreement[row]:.2f})"
        for name, side in zip(names, readability.sides, strict=True)
    ]
    n = readability.positions
    many = f"few positions: {n}" if n < FEW_POSITIONS else count(n, "position")
    return f"lens skill {', '.join(parts)}, {many}"


@singledispatch
def readability(trace: Trace, site: str) -> Readability | None:
    """Return how far the lens at one site can be read; None where that is not measured."""
    own = lens_skill(trace, site)
    return None if own is None else Readability((own,))


@readability.register
def _(trace: Difference, site: str) -> Readability | None:
    sides = [lens_skill(side, site) for side in trace.traces]
    measured = tuple(side for side in sides if side is not None)
    return Readability(measured) if len(measured) == len(sides) else None


def _kind(value: float) -> str:
    if not np.isfinite(value):
        return UNKNOWN
    if value <= 0:  # no better than a uniform guess
        return UNREADABLE
    return PALE if value < READABLE else WELL
