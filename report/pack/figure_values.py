"""Which values of the figure a page holds, at which resolution: all, or what the budget buys.

`pack_all` is for the page of a short prompt. `pack_within` buys, in the order of its lines: the
overview's tiles, all texts, attention at length, single positions where they matter, single
positions everywhere, and the heads last.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypedDict

import numpy as np

from attentropy.engine.errors import UsageError
from attentropy.engine.trace.statistics import TOKEN_LOGPROB, TOP_KEY_WITHOUT_SINKS
from attentropy.report import planes
from attentropy.report.pack.at_length import (
    AtLength,
    nothing_at_length,
    pack_at_length,
    pack_at_length_within,
)
from attentropy.report.pack.budget import Budget, size
from attentropy.report.pack.encode import PackedArrays, pack
from attentropy.report.pack.regions import regions
from attentropy.report.pack.texts import (
    Dictionary,
    LensDetails,
    TokenTexts,
    lens_details,
    no_lens_details,
    positions_of,
    token_texts,
)
from attentropy.report.pack.value_source import ValueSource
from attentropy.report.read.positions import Range
from attentropy.report.read.views import View

_WIDTHS = (512, 256, 128, 64, 32, 16)
# More cells than these do not fit into a page that opens fast, and are not worth trying.
_MOST_HEAD_CELLS = 8_000_000
_HEAD_TAILS = (2048, 1024, 512, 256, 128, 64)


@dataclass
class FigureValues:
    """The packed values of the figure and of attention at length.

    `packed` holds arrays by name; `ranges` are the positions that are held one by one,
    `head_ranges` those of single heads; `all_texts` are those of every position, which a reduced
    page reads after its first picture; `steps` gives the positions per tile and view, and is empty
    where nothing is reduced; `head_step` is that of single heads.
    """

    texts: TokenTexts
    vocabulary: Dictionary
    packed: PackedArrays = field(default_factory=dict)
    ranges: list[Range] = field(default_factory=list)
    head_ranges: list[Range] = field(default_factory=list)
    steps: dict[str, int] = field(default_factory=dict)
    head_step: int = 0
    at_length: AtLength = field(default_factory=nothing_at_length)
    all_texts: TokenTexts | None = None


class _Overview(TypedDict):
    packed: PackedArrays
    steps: dict[str, int]


class _Details(TypedDict):
    packed: PackedArrays
    vocabulary: Dictionary
    texts: TokenTexts
    ranges: list[Range]


def _read_positions(source: ValueSource) -> PackedArrays:
    """Pack which positions the lens read, as steps from one to the next; nothing where all."""
    for view in source.views:
        if view.name == "lens":
            is_read = np.isfinite(view.values).any(0)
            if not is_read.all():
                return {"lensRead": pack(np.diff(np.flatnonzero(is_read), prepend=0))}
    return {}


def pack_figure(source: ValueSource, budget: Budget) -> FigureValues:
    """Pack the values of the page's figures within `budget`.

    Raises `UsageError` where the budget cannot hold a section that was asked for.
    """
    if _least_bytes(source) <= budget.left:
        values = pack_all(source)
        cost = _size(values)
        if cost <= budget.left:
            budget.left -= cost
            return values
    return pack_within(source, budget)


def pack_all(source: ValueSource) -> FigureValues:
    """Pack every value, exactly up to `encode.EXACT_VALUES` of a kind."""
    everywhere = [(0, source.positions)]
    details = _details(source, everywhere, None)
    packed = details["packed"]
    packed |= {f"{view.name}Whole": pack(view.values) for view in source.views}
    packed |= _heads(source, everywhere, None) or {}
    packed |= source.sides.kinds() | _read_positions(source)
    packed |= source.sides.of_columns(positions_of(everywhere), None)
    at_length = pack_at_length(source.trace, source.attention)
    return FigureValues(
        details["texts"], details["vocabulary"], packed, everywhere, everywhere,
        at_length=at_length,
    )  # fmt: skip


def pack_within(source: ValueSource, budget: Budget) -> FigureValues:
    """Pack what the budget buys, the most important values first."""
    ways = (partial(_overview, source.views, coarser) for coarser in (1, 2, 4, 8, 16))
    overview = budget.first(ways, 0.3)
    if overview is None:
        raise UsageError("`max_bytes` is too small for the overview; increase it")
    packed, steps = overview["packed"] | source.sides.kinds(), overview["steps"]
    packed |= _read_positions(source)
    everywhere = [(0, source.positions)]
    texts = budget.first(
        [lambda: {"texts": token_texts(source.trace, everywhere, source.word_starts)}], 0.5
    )
    at_length = pack_at_length_within(source.trace, source.attention, budget)
    values = FigureValues(
        token_texts(source.trace, [], None), no_lens_details()["vocabulary"], packed, steps=steps,
        at_length=at_length, all_texts=texts["texts"] if texts else None,
    )  # fmt: skip
    _add_details(values, source, budget)
    for view in source.views:
        plane = budget.first((partial(_plane, view, bits) for bits in (16, 8)), 0.75)
        values.packed |= plane or {}
    if source.attention is not None:
        _add_heads(values, source, source.attention, budget)
    return values


def _overview(views: Sequence[View], coarser: int) -> _Overview:
    """Pack mean, lowest and highest value of each tile, [3, layer, tiles] per view."""
    packed = {}
    steps = {view.name: view.step * coarser for view in views}
    for view in views:
        tiled = planes.make_tiles(view.values, steps[view.name])
        packed[f"{view.name}Tiles"] = pack(np.stack([tiled.mean, tiled.low, tiled.high]), 8)
    return {"packed": packed, "steps": steps}


def _plane(view: View, bits: int) -> PackedArrays:
    """Pack a view at every position."""
    return {f"{view.name}Whole": pack(view.values, bits)}


def _add_details(values: FigureValues, source: ValueSource, budget: Budget) -> None:
    """Add single positions where they matter, in stretches as wide as the budget allows."""
    tiled = [
        (view, planes.make_tiles(view.values, values.steps[view.name])) for view in source.views
    ]
    ways = [partial(regions, source.trace, source.sections, tiled, width) for width in _WIDTHS]
    details = budget.first((partial(_details_of, source, way) for way in ways), 0.4)
    if details is None and source.sections:  # what was asked for comes before what is bought later
        details = budget.first([partial(_details_of, source, ways[-1])])
    if details is not None:
        values.ranges, values.texts = details["ranges"], details["texts"]
        values.vocabulary = details["vocabulary"]
        values.packed |= details["packed"]
    elif source.sections:
        raise UsageError(
            "the `sections` do not fit into the page at full resolution; use shorter ones or "
            "a larger `max_bytes`"
        )


def _details_of(source: ValueSource, choose_ranges: Callable[[], list[Range]]) -> _Details:
    """Pack everything that is known of single positions in the ranges of `choose_ranges`."""
    details = _details(source, choose_ranges(), 16)
    at = positions_of(details["ranges"])
    details["packed"] |= {f"{view.name}Part": pack(view.values[:, at], 16) for view in source.views}
    details["packed"] |= source.sides.of_columns(at, 16)
    return details


def _details(source: ValueSource, ranges: list[Range], bits: int | None) -> _Details:
    """Pack what is known of single positions besides entropy: texts, surprisal, lens's tokens."""
    has_lens = any(view.name == "lens" for view in source.views)
    lens: LensDetails = (
        lens_details(source.trace, source.trace.site, ranges, bits)
        if has_lens
        else no_lens_details()
    )
    texts = token_texts(source.trace, ranges, source.word_starts)
    if TOKEN_LOGPROB in source.trace:
        surprisals = -source.trace[TOKEN_LOGPROB][positions_of(ranges)]
        lens["packed"]["surprisal"] = pack(surprisals, bits)
    return {**lens, "texts": texts, "ranges": ranges}


def _add_heads(
    values: FigureValues, source: ValueSource, attention: planes.AttentionPlanes, budget: Budget
) -> None:
    """Add every head in tiles, and single positions at the prompt's tail as far as they fit."""
    layers, heads, columns = attention.heads.shape
    if heads < 2:
        return
    rows = attention.heads.reshape(1, layers * heads, columns)
    tiles = budget.first([lambda: {"headsTiles": pack(rows, 8)}], 0.6)
    if tiles is not None:
        values.packed |= tiles
        values.head_step = attention.step
    n = source.positions
    for ranges in [values.ranges, *([(max(0, n - tail), n)] for tail in _HEAD_TAILS)]:
        packed = budget.first([partial(_heads, source, ranges, 8)], 0.9)
        if packed is not None:
            values.packed |= packed
            values.head_ranges = ranges
            return


def _heads(source: ValueSource, ranges: list[Range], bits: int | None) -> PackedArrays | None:
    """Pack single heads at single positions; None without attention, or for too many cells."""
    trace = source.trace
    if "entropy" not in trace:
        return None
    sizes = trace.dataset.sizes
    cells = sizes["layer"] * sizes["head"] * len(positions_of(ranges))
    if bits is not None and cells > _MOST_HEAD_CELLS:
        return None
    packed = {"headsPart": pack(planes.read_ranges(trace, "entropy", ranges), bits)}
    keys = (("topKey", "top_key"), ("topKeyWithoutSinks", TOP_KEY_WITHOUT_SINKS))
    for name, key in (("maxProb", "max_prob"), *keys):
        if key in trace:
            packed[name] = pack(planes.read_ranges(trace, key, ranges), bits)
    return packed | source.sides.of_heads(ranges, bits)


def _least_bytes(source: ValueSource) -> int:
    """Estimate, on the low side, how many bytes all values take in the page."""
    names = ("entropy", "max_prob", "top_key", "lens_entropy", "lens_top_ids", "lens_top_logprobs")
    trace = source.trace
    return sum(trace.dataset[name].size for name in names if name in trace)


def _size(values: FigureValues) -> int:
    """Return the bytes that all values take in the page."""
    return size([values.packed, values.at_length, values.texts, values.vocabulary])
