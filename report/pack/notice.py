"""The line that says which values of a long trace the page holds, and how exactly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from attentropy.engine.trace.dataset import Trace
from attentropy.report.findings.head_roles import head_columns
from attentropy.report.pack.at_length import AtLength
from attentropy.report.pack.figure_values import FigureValues
from attentropy.report.pack.value_source import ValueSource
from attentropy.report.read.positions import Range
from attentropy.report.units import count, error_bound

# What the page's packed values are of, and the unit of their rounding errors.
_ROUNDED = {
    "lensTiles": "entropies", "lensWhole": "entropies", "lensPart": "entropies",
    "attentionTiles": "entropies", "attentionWhole": "entropies", "attentionPart": "entropies",
    "headsTiles": "entropies", "headsPart": "entropies", "lensKl": "KL",
    "topLogprobs": "log-probabilities", "maxProb": "weights", "surprisal": "surprisal",
}  # fmt: skip
_UNITS = dict.fromkeys(("entropies", "KL", "log-probabilities", "surprisal"), " nats")
_VIEWS = {"lens": "lens entropy", "attention": "attention entropy (mean over heads)"}


def reduction(source: ValueSource, values: FigureValues, max_bytes: int) -> str:
    """Return one line about resolution and rounding; for a complete page about rounding alone."""
    errors = ", ".join(_errors(values))
    rounding = f"Rounding: {errors}." if errors else "Values are exact."
    all_steps = values.steps or {view.name: view.step for view in source.views}
    steps = " or ".join(str(step) for step in sorted(set(all_steps.values())))
    mean = f"the mean (or minimum or maximum, as chosen) of {steps} positions"
    is_reduced = max(all_steps.values()) > 1
    if not values.steps:
        return f"Each overview column is {mean}. {rounding}" if is_reduced else rounding
    why = f"To fit {count(source.positions, 'position')} into {max_bytes / 1e6:g} MB"
    how = f"each overview column is {mean}" if is_reduced else "values are rounded or left out"
    return " ".join([f"{why}, {how}.", *_sentences(source, values), rounding])


def _sentences(source: ValueSource, values: FigureValues) -> Iterator[str]:
    """Yield what a reduced page holds besides its overview."""
    everywhere = [_VIEWS[v.name] for v in source.views if f"{v.name}Whole" in values.packed]
    everything = "all values"
    are_heads_apart = source.trace.dataset.sizes.get("head", 0) > 1 and values.head_step != 1
    if values.ranges == [(0, source.positions)]:
        but = " but those of single heads" if are_heads_apart else ""
        yield f"Full resolution at every position: all values{but}."
    else:
        if everywhere:
            yield f"Full resolution at every position: {' and '.join(everywhere)}."
            everything = "all other values"
        if values.ranges:
            where = f"{_count(values.ranges)} ({_list(values.ranges)})"
            yield f"Full resolution at {where}: {everything}."
        else:
            yield f"Full resolution at no position: {everything}."
    if are_heads_apart:
        tiles = f"means of {values.head_step} positions" if values.head_step else ""
        ranges = values.head_ranges
        single = f"full resolution at {_list(ranges)}" if ranges else ""
        yield f"Single heads: {' and '.join(filter(None, (tiles, single))) or 'left out'}."
    yield from pictures_note(source.trace, values.at_length)
    pool = values.at_length["map"]["pool"] if "map" in values.at_length else 1
    if pool > 1:
        yield f"Each map tile stands for {pool} × {pool} tiles of the trace."


def pictures_note(trace: Trace, at_length: AtLength) -> Iterator[str]:
    """Yield what the page does not hold of the heads' pictures."""
    if "thumbnail" not in trace or not head_columns(trace):
        return
    if "thumbnails" not in at_length:
        yield "The pictures of the heads are left out."
        return
    tiles, own = trace.dataset.sizes["tile_k"], at_length["thumbnails"]["shape"][-1]
    if own < tiles:
        yield f"The pictures of the heads have {own} × {own} of {tiles} × {tiles} tiles."


def _errors(values: FigureValues) -> Iterator[str]:
    """Yield the largest rounding error of each kind of value, in words."""
    largest: dict[str, float] = {}

    def add(kind: str, error: float) -> None:
        largest[kind] = max(error, largest.get(kind, 0))

    for name, packed in values.packed.items():
        if name in _ROUNDED:
            add(_ROUNDED[name], packed["error"])
    at_length = values.at_length
    if "spread" in at_length:
        add("entropies", at_length["spread"]["error"])
    for window in at_length["windows"]:
        add("weights", window["values"]["error"])
    if "map" in at_length:
        add("map", at_length["map"]["error"])
    if "received" in at_length:
        add("received attention", at_length["received"]["error"])
    for kind, error in largest.items():
        if error > 0:
            yield f"{kind} ±{error_bound(error)}{_UNITS.get(kind, '')}"


def _count(ranges: Sequence[Range]) -> str:
    """Return the number of positions in words."""
    return count(sum(stop - start for start, stop in ranges), "position")


def _list(ranges: Sequence[Range]) -> str:
    """Return the last ranges, and how many others there are."""
    shown = [f"{start:,}–{stop - 1:,}" for start, stop in ranges[-4:]]
    others = len(ranges) - len(shown)
    return ", ".join(shown) + (f" and {others} more" if others > 0 else "")
