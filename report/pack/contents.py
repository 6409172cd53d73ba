"""Which values go into the page, at which resolution: all of them, or what the budget buys.

`whole` is the page of a short prompt. `reduced` buys, in the order of its lines: the overview's
tiles, attention at length, single positions where they matter, single positions everywhere, all
texts, and the heads last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from attentropy.engine.errors import UsageError
from attentropy.engine.trace.dataset import Trace
from attentropy.report import planes
from attentropy.report.pack import compared as sides
from attentropy.report.pack import maps as reach
from attentropy.report.pack.budget import Budget, size
from attentropy.report.pack.encode import pack
from attentropy.report.pack.regions import regions
from attentropy.report.read.positions import Range
from attentropy.report.read.views import View
from attentropy.report.text import full, short

_WIDTHS = (512, 256, 128, 64, 32, 16)
# More cells would not fit into any page that opens fast, and are not worth trying.
_MOST_HEAD_CELLS = 8_000_000
_HEAD_TAILS = (2048, 1024, 512, 256, 128, 64)


@dataclass
class Contents:
    """`packed` values by name; `ranges` of positions held one by one, `head_ranges` of them for
    single heads; `step` positions a tile, 1 where nothing is reduced; `texts` and `vocabulary`:
    see `_texts`, `_vocabulary`."""

    packed: dict[str, Any] = field(default_factory=dict)
    ranges: list[Range] = field(default_factory=list)
    head_ranges: list[Range] = field(default_factory=list)
    steps: dict[str, int] = field(default_factory=dict)
    head_step: int = 0
    reach: dict[str, Any] = field(default_factory=dict)
    texts: dict[str, Any] = field(default_factory=dict)
    vocabulary: dict[str, Any] = field(default_factory=dict)


def contents(
    trace: Trace,
    views: Sequence[View],
    attention: planes.Attention | None,
    asked: Sequence[Range],
    budget: Budget,
) -> Contents:
    """The values of the page within `budget`. Raises `UsageError` where it cannot hold a section
    that was asked for."""
    if _raw_bytes(trace) <= budget.left:
        everything = whole(trace, views, attention)
        cost = _size(everything)
        if cost <= budget.left:
            budget.left -= cost
            return everything
    return reduced(trace, views, attention, asked, budget)


def whole(trace: Trace, views: Sequence[View], attention: planes.Attention | None) -> Contents:
    """Every value, exact up to `raster.EXACT_VALUES` of a kind."""
    everywhere = [(0, trace.dataset.sizes["position"])]
    details = _details(trace, views, everywhere, None)
    packed = details.pop("packed")
    packed |= {f"{view.name}Whole": pack(view.values) for view in views}
    packed |= _heads(trace, everywhere, None) or {}
    packed |= sides.kinds(trace) | sides.of_columns(trace, _positions(everywhere), None)
    return Contents(
        packed, everywhere, everywhere, reach=reach.whole(trace, attention), **details
    )  # fmt: skip


def reduced(
    trace: Trace,
    views: Sequence[View],
    attention: planes.Attention | None,
    asked: Sequence[Range],
    budget: Budget,
) -> Contents:
    """What the budget buys, the most important first."""
    out = Contents()
    found = budget.first((partial(_overview, views, coarser) for coarser in (1, 2, 4, 8, 16)), 0.3)
    if found is None:
        raise UsageError("--max-bytes leaves no room for the overview: allow more")
    out.packed, out.steps = found["packed"] | sides.kinds(trace), found["steps"]
    out.reach = reach.reduced(trace, attention, budget)

    tiled = [(view, planes.tiles(view.values, out.steps[view.name])) for view in views]
    ways = [partial(regions, trace, asked, tiled, width) for width in _WIDTHS]
    found = budget.first((partial(_details_of, trace, views, way) for way in ways), 0.4)
    if found is None and asked:
        raise UsageError(
            "--section: the sections do not fit into the page one position at a time; "
            "ask for shorter ones or give more --max-bytes"
        )
    out.texts, out.vocabulary = _texts(trace, []), _dictionary((), 14)
    if found is not None:
        out.ranges, out.texts, out.vocabulary = found["ranges"], found["texts"], found["vocabulary"]
        out.packed |= found["packed"]

    for view in views:
        everywhere = budget.first((partial(_plane, view, bits) for bits in (16, 8)), 0.75)
        out.packed |= everywhere or {}
    n = trace.dataset.sizes["position"]
    texts = budget.first([lambda: {"texts": _texts(trace, [(0, n)])}], 0.8)
    if texts is not None:
        out.texts = texts["texts"]
    if attention is not None:
        _add_heads(trace, attention, budget, out)
    return out


def _overview(views: Sequence[View], coarser: int) -> dict[str, Any]:
    packed = {}
    steps = {view.name: view.step * coarser for view in views}
    for view in views:
        tiled = planes.tiles(view.values, steps[view.name])
        packed[f"{view.name}Tiles"] = pack(np.stack([tiled.mean, tiled.low, tiled.high]), 8)
    return {"packed": packed, "steps": steps}


def _plane(view: View, bits: int) -> dict[str, Any]:
    return {f"{view.name}Whole": pack(view.values, bits)}


def _details_of(
    trace: Trace, views: Sequence[View], way: Callable[[], list[Range]]
) -> dict[str, Any]:
    ranges = way()
    found = _details(trace, views, ranges, 16)
    at = _positions(ranges)
    found["packed"] |= {f"{view.name}Part": pack(view.values[:, at], 16) for view in views}
    found["packed"] |= sides.of_columns(trace, at, 16)
    return found | {"ranges": ranges}


def _details(
    trace: Trace, views: Sequence[View], ranges: Sequence[Range], bits: int | None
) -> dict[str, Any]:
    """What is known of single positions beside their entropy: texts, and what the lens read."""
    found: dict[str, Any] = {"packed": {}, "vocabulary": {"short": [], "full": {}}}
    if any(view.name == "lens" for view in views):
        found = lens_details(trace, trace.site, ranges, bits)
    return {"texts": _texts(trace, ranges), **found}


def lens_details(
    trace: Trace, site: str, ranges: Sequence[Range], bits: int | None
) -> dict[str, Any]:
    """What the lens reads at a site beside its entropy, at the positions of the ranges: `packed`,
    and the `vocabulary` of the tokens that it names."""
    ids = _lens(trace, "lens_top_ids", ranges, site)
    targets = trace["target_ids"][_positions(ranges)] if "target_ids" in trace else ids[0, :0, 0]
    names = sorted({int(i) for i in np.unique(np.append(ids, targets))} - {-1})
    packed = {
        "topIds": pack(_index(ids, names)),
        "topLogprobs": pack(_lens(trace, "lens_top_logprobs", ranges, site), bits),
    }
    if "lens_rank" in trace and targets.size:
        packed["targets"] = pack(_index(targets, names))
        packed["lensRank"] = pack(_lens(trace, "lens_rank", ranges, site))
    if "lens_kl" in trace:
        packed["lensKl"] = pack(_lens(trace, "lens_kl", ranges, site), bits)
    return {"packed": packed, "vocabulary": _dictionary(trace.text_of(names), 14)}


def _add_heads(trace: Trace, attention: planes.Attention, budget: Budget, out: Contents) -> None:
    """Every head in tiles, and one position at a time at the prompt's tail as far as it goes."""
    layers, heads, columns = attention.heads.shape
    if heads < 2:
        return
    found = budget.first(
        [lambda: {"headsTiles": pack(attention.heads.reshape(1, layers * heads, columns), 8)}], 0.6
    )
    if found is not None:
        out.packed |= found
        out.head_step = attention.step
    n = trace.dataset.sizes["position"]
    for ranges in [out.ranges, *([(max(0, n - tail), n)] for tail in _HEAD_TAILS)]:
        found = budget.first([partial(_heads, trace, ranges, 8)], 0.9)
        if found is not None:
            out.packed |= found
            out.head_ranges = ranges
            return


def _heads(trace: Trace, ranges: list[Range], bits: int | None) -> dict[str, Any] | None:
    """Single heads at single positions; None where there is no attention."""
    if "entropy" not in trace:
        return None
    cells = trace.dataset.sizes["layer"] * trace.dataset.sizes["head"] * len(_positions(ranges))
    if bits is not None and cells > _MOST_HEAD_CELLS:
        return None
    packed = {"headsPart": pack(planes.spans(trace, "entropy", ranges), bits)}
    for name, key in (("maxProb", "max_prob"), ("topKey", "top_key")):
        if key in trace:
            packed[name] = pack(planes.spans(trace, key, ranges), bits)
    return packed | sides.of_heads(trace, ranges, bits)


def _texts(trace: Trace, ranges: Sequence[Range]) -> dict[str, Any]:
    """Tokens and roles at the ranges: `short`, and `full` where that is cut, by number of text;
    `index` and `role` a number for each position; `ranges`."""
    at = _positions(ranges)
    numbers: dict[str, int] = {}
    words = trace["token_text"][at].tolist()
    index = [numbers.setdefault(text, len(numbers)) for text in words]
    roles: dict[str, int] = {}
    role = [roles.setdefault(name, len(roles)) for name in trace["role"][at].tolist()]
    return _dictionary(numbers, 16) | {
        "ranges": [list(r) for r in ranges],
        "index": pack(np.array(index, np.int32)),
        "roles": list(roles),
        "role": pack(np.array(role, np.int32)),
    }


def _dictionary(texts: Iterable[str], columns: int) -> dict[str, Any]:
    """Texts as labels of `columns`, and the whole text where the label does not show it."""
    labels = [(short(text, columns), full(text)) for text in texts]
    return {
        "short": [label for label, _ in labels],
        "full": {str(i): text for i, (label, text) in enumerate(labels) if label != text},
    }


def _lens(trace: Trace, name: str, ranges: Sequence[Range], site: str) -> np.ndarray:
    return np.concatenate([trace.lens(name, slice(*r), site) for r in ranges], axis=1)


def _positions(ranges: Sequence[Range]) -> np.ndarray:
    return np.concatenate([np.arange(*r) for r in ranges]) if ranges else np.zeros(0, int)


def _index(ids: np.ndarray, names: list[int]) -> np.ndarray:
    """Where each id is in `names`; -1 stays."""
    return np.where(ids >= 0, np.searchsorted(names, ids), -1).astype(np.int32)


def _raw_bytes(trace: Trace) -> int:
    """A guess, on the low side, of what every value takes in the page."""
    shown = ("entropy", "max_prob", "top_key", "lens_entropy", "lens_top_ids", "lens_top_logprobs")
    return sum(trace.dataset[name].size for name in shown if name in trace)


def _size(everything: Contents) -> int:
    return size([everything.packed, everything.reach, everything.texts, everything.vocabulary])
