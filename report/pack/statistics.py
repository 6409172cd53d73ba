"""What a page holds beside entropy: other statistics, and the lens's other sites.

They are bought after everything else, the overviews first and single heads last, lie in a part of
the page of their own, and are unpacked when somebody chooses them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.report import planes
from attentropy.report.pack.budget import Budget
from attentropy.report.pack.contents import Contents, lens_details
from attentropy.report.pack.encode import pack
from attentropy.report.read.statistics import NORMALIZED, Plane, extra
from attentropy.report.read.views import View

_PIECES = ("tiles", "part", "whole")
_LEAST = 5_000  # bytes below which no plane is read: of a long trace that takes seconds
# Single positions of these are made in the page from what the lens read there.
_OF_DETAILS = ("lens_kl", "lens_rank", "probability")


@dataclass
class More:
    """`packed` values: `KEY.tiles`, `.whole`, `.part` of a plane, `.headsTiles`, `.headsPart`, and
    `lens.SITE.detail.NAME`; the `vocabularies` of other sites; the `planes` that the trace has, and
    by their keys at which resolution each is `held`, "" where it is not."""

    packed: dict[str, Any] = field(default_factory=dict)
    vocabularies: dict[str, Any] = field(default_factory=dict)
    planes: list[Plane] = field(default_factory=list)
    held: dict[str, str] = field(default_factory=dict)

    def offered(self) -> dict[str, list[str]]:
        """The statistics that can be chosen, by "attention" or "lens.SITE"."""
        found: dict[str, list[str]] = {}
        for plane in self.planes:
            if self.held[plane.key]:
                found.setdefault(plane.key.rpartition(".")[0], []).append(plane.statistic.name)
        return found

    def values(self) -> dict[str, Any]:
        """What the page's script reads when one is chosen."""
        return {"packed": self.packed, "vocabularies": self.vocabularies} if self.packed else {}


def buy(trace: Trace, views: Sequence[View], kept: Contents, budget: Budget) -> More:
    """What of the other statistics and sites fits into what is left of the budget."""
    more = More(planes=extra(trace, views))
    whole = not kept.steps
    if not whole:
        for plane in more.planes:
            _take(more, budget, [partial(_tiles, plane, kept.steps[plane.view.name])])
    _details(more, trace, kept, budget, (None, 16, 8) if whole else (16, 8))
    for plane in more.planes:
        if kept.ranges and not _derived(plane):
            ways = (None, 16, plane.statistic.bits) if whole else (16,)
            _take(more, budget, [partial(_part, plane, kept, bits) for bits in ways])
    if not whole:
        for plane in more.planes:
            if plane.statistic.name != NORMALIZED:
                _take(more, budget, [partial(_everywhere, plane)])
    _single_heads(more, trace, kept, budget, whole)
    for plane in more.planes:
        more.held[plane.key] = _held(more, plane, kept)
    return more


def _take(more: More, budget: Budget, ways: Iterable[Any]) -> None:
    if budget.left >= _LEAST:
        more.packed |= budget.first(ways, 0.9) or {}


def _derived(plane: Plane) -> bool:
    """Whether the page makes single positions of it from values that it holds anyway."""
    name = plane.statistic.name
    return name == NORMALIZED or name in _OF_DETAILS


def _tiles(plane: Plane, step: int) -> dict[str, Any]:
    tiled = planes.tiles(plane.values, step)
    values = np.stack([tiled.mean, tiled.low, tiled.high])
    return {f"{plane.key}.tiles": pack(values, plane.statistic.bits)}


def _part(plane: Plane, kept: Contents, bits: int | None) -> dict[str, Any]:
    at = np.r_[tuple(slice(*span) for span in kept.ranges)]
    return {f"{plane.key}.part": pack(plane.values[:, at], bits)}


def _everywhere(plane: Plane) -> dict[str, Any]:
    return {f"{plane.key}.whole": pack(plane.values, plane.statistic.bits)}


def _details(
    more: More, trace: Trace, kept: Contents, budget: Budget, ways: Sequence[int | None]
) -> None:
    """What the lens read at the other sites: all that it has of single positions there."""
    first = trace.site
    others = {plane.site: None for plane in more.planes if plane.site not in ("", first)}
    for site in others if kept.ranges else ():
        found = budget.first(
            [partial(lens_details, trace, site, kept.ranges, bits) for bits in ways], 0.9
        )
        if found is not None:
            named = {f"lens.{site}.detail.{name}": v for name, v in found["packed"].items()}
            more.packed |= named
            more.vocabularies[site] = found["vocabulary"]


def _single_heads(more: More, trace: Trace, kept: Contents, budget: Budget, whole: bool) -> None:
    """Every head in tiles, and one position at a time where their entropies are so held."""
    for plane in [plane for plane in more.planes if plane.view.name == "attention"]:
        name, bits = plane.statistic.name, plane.statistic.bits
        if kept.head_step:
            _take(more, budget, [partial(_head_tiles, plane)])
        if kept.head_ranges and name not in (NORMALIZED, "max_prob"):
            ways = (None, 16, bits) if whole else (bits,)
            _take(more, budget, [partial(_heads, trace, plane, kept, b) for b in ways])


def _head_tiles(plane: Plane) -> dict[str, Any]:
    heads = plane.averages.heads
    values = heads.reshape(1, -1, heads.shape[-1])
    return {f"{plane.key}.headsTiles": pack(values, plane.statistic.bits)}


def _heads(trace: Trace, plane: Plane, kept: Contents, bits: int | None) -> dict[str, Any]:
    values = planes.spans(trace, plane.statistic.name, kept.head_ranges)
    return {f"{plane.key}.headsPart": pack(values.astype(np.float32, copy=False), bits)}


def _held(more: More, plane: Plane, kept: Contents) -> str:
    """At which resolution the page has a plane; empty where it has none of it."""
    tiles, part, whole = (f"{plane.key}.{piece}" in more.packed for piece in _PIECES)
    if plane.statistic.name == NORMALIZED:
        part, whole = "attentionPart" in kept.packed, "attentionWhole" in kept.packed
    elif plane.statistic.name in _OF_DETAILS:
        first = plane.site == plane.trace.site
        part = "topIds" in kept.packed if first else plane.site in more.vocabularies
    if whole or (part and not kept.steps):
        return "at every position"
    if part:
        return "in the sections and in the overview" if tiles else "in the sections"
    return "in the overview" if tiles else ""


def said(more: More, kept: Contents) -> str:
    """Which of them the page has at which resolution and how exactly; empty where it has all,
    exactly."""
    groups: dict[str, list[str]] = {}
    for plane in more.planes:
        where = more.held[plane.key] or "not in the page"
        if kept.steps or where == "not in the page":
            groups.setdefault(where, []).append(_name(plane))
    parts = [f"{', '.join(names)} {where}" for where, names in groups.items()]
    lost = [_name(plane) for plane in more.planes if _heads_lost(more, plane, kept)]
    parts += [f"single heads: not in the page of {', '.join(lost)}"] if lost else []
    sentences = [f"Other statistics: {'; '.join(parts)}."] if parts else []
    errors = ", ".join(_errors(more))
    sentences += [f"They are within: {errors}."] if errors else []
    return "".join(f" {sentence}" for sentence in sentences)


def _heads_lost(more: More, plane: Plane, kept: Contents) -> bool:
    name = plane.statistic.name
    if plane.view.name != "attention" or name in (NORMALIZED, "max_prob"):
        return False
    return bool(kept.head_ranges) and f"{plane.key}.headsPart" not in more.packed


def _errors(more: More) -> Iterator[str]:
    for plane in more.planes:
        mine = (f"{plane.key}.{piece}" for piece in (*_PIECES, "headsTiles", "headsPart"))
        worst = max((more.packed[name]["error"] for name in mine if name in more.packed), default=0)
        if worst > 0:
            unit = plane.statistic.scale.unit
            yield f"{_name(plane)} ±{worst:.1g}{f' {unit}' if unit else ''}"


def _name(plane: Plane) -> str:
    of = f" of the lens on {plane.site}" if plane.site and plane.site != plane.trace.site else ""
    return plane.statistic.label + of
