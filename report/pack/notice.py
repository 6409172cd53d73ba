"""The line that says what of a long trace is in the page, at which resolution and how exactly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from attentropy.engine.trace.dataset import Trace
from attentropy.report.pack.contents import Contents
from attentropy.report.read.positions import Range
from attentropy.report.read.views import View

_NAMES = {
    "lensTiles": "lens entropy in the overview",
    "lensWhole": "lens entropy",
    "lensPart": "lens entropy in the sections",
    "attentionTiles": "attention entropy in the overview",
    "attentionWhole": "attention entropy",
    "attentionPart": "attention entropy in the sections",
    "headsTiles": "entropy of single heads in the overview",
    "headsPart": "entropy of single heads",
    "topLogprobs": "log-probabilities",
    "lensKl": "divergence",
    "maxProb": "largest weights",
}
_NATS = ("Tiles", "Whole", "Part", "lensKl", "topLogprobs")


def reduction(trace: Trace, views: Sequence[View], kept: Contents, max_bytes: int) -> str:
    """One line; of a page that holds everything only how exactly."""
    errors = ", ".join(_errors(kept))
    rounding = f"Values are within: {errors}." if errors else "Values are exact."
    held = kept.steps or {view.name: view.step for view in views}
    steps = " or ".join(str(step) for step in sorted(set(held.values())))
    if not kept.steps:
        many = f"An overview column is the mean of {steps} positions (min and max by choice). "
        return (many if max(held.values()) > 1 else "") + rounding
    n = trace.dataset.sizes["position"]
    said = [
        f"To fit {n:,} positions into {max_bytes / 1e6:g} MB, an overview column is the mean of "
        f"{steps} positions (min and max by choice)",
    ]
    names = {"lens": "lens entropy", "attention": "attention entropy (mean over heads)"}
    everywhere = [names[v.name] for v in views if f"{v.name}Whole" in kept.packed]
    if everywhere:
        said.append(f"{' and '.join(everywhere)} at every single position")
    said.append(
        f"everything else of single positions at {_count(kept.ranges)} of them "
        f"({_list(kept.ranges)})"
    )
    if trace.dataset.sizes.get("head", 0) > 1:
        tiles = f"means of {kept.head_step} positions" if kept.head_step else ""
        single = f"single positions at {_list(kept.head_ranges)}" if kept.head_ranges else ""
        said.append(f"single heads: {' and '.join(filter(None, (tiles, single))) or 'left out'}")
    if kept.reach.get("map", {}).get("pool", 1) > 1:
        pool = kept.reach["map"]["pool"]
        said.append(f"the map's tiles are {pool} × {pool} of the trace's")
    return "; ".join(said) + f". {rounding}"


def _errors(kept: Contents) -> Iterator[str]:
    held: dict[str, Any] = dict(kept.packed)
    for name, packed in held.items():
        if packed["error"] > 0 and name in _NAMES:
            unit = " nats" if name.endswith(_NATS) else ""
            yield f"{_NAMES[name]} ±{packed['error']:.1g}{unit}"
    for name in ("map", "received", "spread"):
        packed = kept.reach.get(name, {})
        if packed.get("error", 0) > 0:
            yield f"{name} ±{packed['error']:.1g}"
    windows = [window["values"]["error"] for window in kept.reach.get("windows", [])]
    if any(windows):
        yield f"exact weights ±{max(windows):.1g}"


def _count(ranges: Sequence[Range]) -> str:
    return f"{sum(stop - start for start, stop in ranges):,}"


def _list(ranges: Sequence[Range]) -> str:
    shown = [f"{start:,}–{stop - 1:,}" for start, stop in ranges[-4:]]
    more = len(ranges) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")
