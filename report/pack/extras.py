"""Values that a page holds besides entropy: other statistics, and the lens's other sites.

They are bought after everything else, the overviews first and single heads last. They lie in a part
of the page of their own, and the script unpacks them when the reader chooses one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypedDict

import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.report import planes
from attentropy.report.pack.budget import Budget
from attentropy.report.pack.encode import PackedArrays, pack
from attentropy.report.pack.figure_values import FigureValues
from attentropy.report.pack.texts import Dictionary, lens_details
from attentropy.report.pack.value_source import ValueSource
from attentropy.report.read.plane_statistics import NORMALIZED, Plane, extra_planes
from attentropy.report.units import error_bound

_PIECES = ("tiles", "part", "whole")
_LEAST = 5_000  # bytes below which no plane is read: of a long trace that takes seconds
# The page computes single positions of these from what it holds of the lens.
_OF_DETAILS = ("lens_kl", "lens_rank", "probability")


class PackedExtras(TypedDict):
    """The extras as the page's script reads them."""

    packed: PackedArrays
    vocabularies: dict[str, Dictionary]


@dataclass
class Extras:
    """Packed planes besides those of the entropies, and at which resolution the page has each.

    `packed` holds `KEY.tiles`, `.whole`, `.part` of a plane, `.headsTiles`, `.headsPart`, and
    `lens.SITE.detail.NAME`; `vocabularies` the dictionaries of other sites. `planes` are those of
    the trace; `resolutions` says by their keys where the page holds each, "" for nowhere.
    """

    packed: PackedArrays = field(default_factory=dict)
    vocabularies: dict[str, Dictionary] = field(default_factory=dict)
    planes: list[Plane] = field(default_factory=list)
    resolutions: dict[str, str] = field(default_factory=dict)

    def offered(self) -> dict[str, list[str]]:
        """Return the statistics that can be chosen, by "attention" or "lens.SITE"."""
        names: dict[str, list[str]] = {}
        for plane in self.planes:
            if self.resolutions[plane.key]:
                names.setdefault(plane.key.rpartition(".")[0], []).append(plane.statistic.name)
        return names

    def to_json(self) -> PackedExtras | None:
        """Return what the page's script reads; None where the page holds no extras."""
        if not self.packed:
            return None
        return {"packed": self.packed, "vocabularies": self.vocabularies}


def pack_extras(source: ValueSource, figure: FigureValues, budget: Budget) -> Extras:
    """Pack the other statistics and sites that fit into the rest of the budget."""
    extras = Extras(planes=extra_planes(source.trace, source.views))
    is_complete = not figure.steps
    if not is_complete:
        for plane in extras.planes:
            _buy(extras, budget, [partial(_tiles, plane, figure.steps[plane.view.name])])
    _add_details(extras, source.trace, figure, budget, (None, 16, 8) if is_complete else (16, 8))
    for plane in extras.planes:
        if figure.ranges and not _is_derived(plane):
            bits: tuple[int | None, ...] = (16,)
            if is_complete:
                bits = (None, 16, plane.statistic.bits)
            _buy(extras, budget, [partial(_part, plane, figure, each) for each in bits])
    if not is_complete:
        for plane in extras.planes:
            if plane.statistic.name != NORMALIZED:
                _buy(extras, budget, [partial(_everywhere, plane)])
    _add_single_heads(extras, source.trace, figure, budget, is_complete)
    for plane in extras.planes:
        extras.resolutions[plane.key] = _resolution(extras, plane, figure)
    return extras


def _buy(extras: Extras, budget: Budget, ways: Iterable[Callable[[], PackedArrays]]) -> None:
    """Add the result of the first way that fits."""
    if budget.left >= _LEAST:
        extras.packed |= budget.first(ways, 0.9) or {}


def _is_derived(plane: Plane) -> bool:
    """Return whether the page computes single positions of a plane from values that it holds."""
    name = plane.statistic.name
    return name == NORMALIZED or name in _OF_DETAILS


def _tiles(plane: Plane, step: int) -> PackedArrays:
    """Pack mean, lowest and highest value of each tile."""
    tiled = planes.make_tiles(plane.values, step)
    values = np.stack([tiled.mean, tiled.low, tiled.high])
    return {f"{plane.key}.tiles": pack(values, plane.statistic.bits)}


def _part(plane: Plane, figure: FigureValues, bits: int | None) -> PackedArrays:
    """Pack the positions that the page holds one by one."""
    at = np.r_[tuple(slice(*span) for span in figure.ranges)]
    return {f"{plane.key}.part": pack(plane.values[:, at], bits)}


def _everywhere(plane: Plane) -> PackedArrays:
    """Pack every position."""
    return {f"{plane.key}.whole": pack(plane.values, plane.statistic.bits)}


def _add_details(
    extras: Extras, trace: Trace, figure: FigureValues, budget: Budget, bits: Sequence[int | None]
) -> None:
    """Add everything that the lens read at single positions of its other sites."""
    first = trace.site
    others = {plane.site: None for plane in extras.planes if plane.site not in ("", first)}
    for site in others if figure.ranges else ():
        ways = [partial(lens_details, trace, site, figure.ranges, each) for each in bits]
        details = budget.first(ways, 0.9)
        if details is not None:
            named = {f"lens.{site}.detail.{name}": v for name, v in details["packed"].items()}
            extras.packed |= named
            extras.vocabularies[site] = details["vocabulary"]


def _add_single_heads(
    extras: Extras, trace: Trace, figure: FigureValues, budget: Budget, is_complete: bool
) -> None:
    """Add every head in tiles, and single positions where the page has those of the entropies."""
    for plane in [plane for plane in extras.planes if plane.view.name == "attention"]:
        name, bits = plane.statistic.name, plane.statistic.bits
        if figure.head_step:
            _buy(extras, budget, [partial(_head_tiles, plane)])
        if figure.head_ranges and name not in (NORMALIZED, "max_prob"):
            choices = (None, 16, bits) if is_complete else (bits,)
            _buy(extras, budget, [partial(_heads, trace, plane, figure, b) for b in choices])


def _head_tiles(plane: Plane) -> PackedArrays:
    """Pack every head in tiles, [1, layer · head, tiles]."""
    heads = plane.averages.heads
    values = heads.reshape(1, -1, heads.shape[-1])
    return {f"{plane.key}.headsTiles": pack(values, plane.statistic.bits)}


def _heads(trace: Trace, plane: Plane, figure: FigureValues, bits: int | None) -> PackedArrays:
    """Pack every head at single positions, [layer, head, position]."""
    values = planes.read_ranges(trace, plane.statistic.name, figure.head_ranges)
    return {f"{plane.key}.headsPart": pack(values.astype(np.float32, copy=False), bits)}


def _resolution(extras: Extras, plane: Plane, figure: FigureValues) -> str:
    """Return in words where the page holds a plane; empty where it does not."""
    tiles, part, everywhere = (f"{plane.key}.{piece}" in extras.packed for piece in _PIECES)
    if plane.statistic.name == NORMALIZED:
        part, everywhere = "attentionPart" in figure.packed, "attentionWhole" in figure.packed
    elif plane.statistic.name in _OF_DETAILS:
        is_first = plane.site == plane.trace.site
        part = "topIds" in figure.packed if is_first else plane.site in extras.vocabularies
    if everywhere or (part and not figure.steps):
        return "at every position"
    if part:
        return "in the sections and in the overview" if tiles else "in the sections"
    return "in the overview" if tiles else ""


def extras_note(extras: Extras, figure: FigureValues) -> str:
    """Return sentences about resolution and rounding; empty where the page has all, exactly."""
    groups: dict[str, list[str]] = {}
    for plane in extras.planes:
        where = extras.resolutions[plane.key] or "not in the page"
        if figure.steps or where == "not in the page":
            groups.setdefault(where, []).append(_name(plane))
    parts = [f"{', '.join(names)} {where}" for where, names in groups.items()]
    lost = [_name(plane) for plane in extras.planes if _lacks_heads(extras, plane, figure)]
    parts += [f"{', '.join(lost)} of single heads not in the page"] if lost else []
    sentences = [f"Other statistics: {'; '.join(parts)}."] if parts else []
    errors = ", ".join(_errors(extras))
    sentences += [f"Rounding of other statistics: {errors}."] if errors else []
    return "".join(f" {sentence}" for sentence in sentences)


def _lacks_heads(extras: Extras, plane: Plane, figure: FigureValues) -> bool:
    """Return whether single heads of a statistic did not fit, where those of the entropies did."""
    name = plane.statistic.name
    if plane.view.name != "attention" or name in (NORMALIZED, "max_prob"):
        return False
    return bool(figure.head_ranges) and f"{plane.key}.headsPart" not in extras.packed


def _errors(extras: Extras) -> Iterator[str]:
    """Yield the rounding errors in words, one per plane that has any."""
    for plane in extras.planes:
        names = [f"{plane.key}.{piece}" for piece in (*_PIECES, "headsTiles", "headsPart")]
        errors = [extras.packed[name]["error"] for name in names if name in extras.packed]
        worst = max(errors, default=0)
        if worst > 0:
            unit = plane.statistic.scale.unit
            yield f"{_name(plane)} ±{error_bound(worst)}{f' {unit}' if unit else ''}"


def _name(plane: Plane) -> str:
    """Return the words for a plane: its statistic, and its site where that is not the first."""
    of = f" of the lens on {plane.site}" if plane.site and plane.site != plane.trace.site else ""
    return plane.statistic.label + of
