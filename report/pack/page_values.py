"""The packed values of one page, in the three parts in which its script reads them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NotRequired

from attentropy.report.pack.at_length import AtLength, nothing_at_length
from attentropy.report.pack.budget import Budget
from attentropy.report.pack.encode import PackedArrays
from attentropy.report.pack.extras import PackedExtras, extras_note, pack_extras
from attentropy.report.pack.figure_values import FigureValues, pack_figure
from attentropy.report.pack.notice import reduction
from attentropy.report.pack.texts import Dictionary, TokenTexts
from attentropy.report.pack.value_source import ValueSource

_OF_HEADS = ("headsPart", "headsTiles", "maxProb", "topKey", "topKeyWithoutSinks", "headsSides",
            "topKeyB")  # fmt: skip


class FirstValues(AtLength):
    """What the first picture needs: packed arrays, and the positions that are held one by one."""

    packed: PackedArrays
    ranges: list[list[int]]
    headRanges: list[list[int]]
    steps: dict[str, int]
    headStep: int
    texts: TokenTexts
    vocabulary: Dictionary
    later: bool
    offered: dict[str, list[str]]
    windowCount: int


class LaterValues(AtLength):
    """What a reduced page unpacks after its first picture."""

    packed: PackedArrays
    texts: NotRequired[TokenTexts]


@dataclass(frozen=True)
class PageValues:
    """The values of one page: `first`, `later` where the page is reduced, and the `extras`.

    `note` is the sentence that says how exact they are and what is missing.
    """

    first: FirstValues
    later: LaterValues | None
    extras: PackedExtras | None
    note: str


def pack_values(source: ValueSource, budget: Budget, max_bytes: int) -> PageValues:
    """Read and pack the values that fit into `budget`, which is part of a page of `max_bytes`.

    Raises `UsageError` where the budget cannot hold the overview or a section that was asked for.
    """
    figure = pack_figure(source, budget)
    extras = pack_extras(source, figure, budget)
    first, later = _parted(figure, extras.offered())
    note = reduction(source, figure, max_bytes) + extras_note(extras, figure)
    return PageValues(first, later, extras.to_json(), note)


def _parted(
    values: FigureValues, offered: dict[str, list[str]]
) -> tuple[FirstValues, LaterValues | None]:
    """Return what the first picture needs, and, of a reduced page, what may come later."""
    packed, later = values.packed, None
    if values.steps:
        late = [name for name in packed if name.endswith("Whole") or name in _OF_HEADS]
        later = LaterValues(packed={name: packed[name] for name in late}, **values.at_length)
        packed = {name: array for name, array in packed.items() if name not in late}
        if values.all_texts is not None:
            later["texts"] = values.all_texts
    at_length = values.at_length if later is None else nothing_at_length()
    first: FirstValues = {
        **at_length,
        "packed": packed,
        "ranges": [list(r) for r in values.ranges],
        "headRanges": [list(r) for r in values.head_ranges],
        "steps": values.steps,
        "headStep": values.head_step,
        "texts": values.texts,
        "vocabulary": values.vocabulary,
        "later": later is not None,
        "offered": offered,
        "windowCount": len(values.at_length["windows"]),
    }
    return first, later
