"""The line that says which values of a long trace the page holds, and how exactly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from attentropy.report.pack.figure_values import FigureValues
from attentropy.report.pack.value_source import ValueSource
from attentropy.report.read.positions import Range
from attentropy.report.units import count

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
    "lensKl": "KL",
    "maxProb": "largest weights",
}
_VIEWS = {"lens": "lens entropy", "attention": "attention entropy (mean over heads)"}
_NATS = ("Tiles", "Whole", "Part", "lensKl", "topLogprobs")


def reduction(source: ValueSource, values: FigureValues, max_bytes: int) -> str:
    """Return one line about resolution and rounding; for a complete page about rounding alone."""
    errors = ", ".join(_errors(values))
    rounding = f"Rounding errors: {errors}." if errors else "Values are exact."
    all_steps = values.steps or {view.name: view.step for view in source.views}
    steps = " or ".join(str(step) for step in sorted(set(all_steps.values())))
    if not values.steps:
        many = (
            f"Each overview column is the mean of {steps} positions (or their minimum or maximum, "
            "as chosen). "
        )
        return (many if max(all_steps.values()) > 1 else "") + rounding
    clauses = [
        f"To fit {count(source.positions, 'position')} into {max_bytes / 1e6:g} MB, each overview "
        f"column is the mean of {steps} positions (or their minimum or maximum, as chosen)",
        *_clauses(source, values),
    ]
    return "; ".join(clauses) + f". {rounding}"


def _clauses(source: ValueSource, values: FigureValues) -> Iterator[str]:
    """Yield what a reduced page holds besides its overview."""
    everywhere = [_VIEWS[v.name] for v in source.views if f"{v.name}Whole" in values.packed]
    if everywhere:
        yield f"{' and '.join(everywhere)} at full resolution"
    yield (
        f"all other values at full resolution at {_count(values.ranges)} ({_list(values.ranges)})"
    )
    if source.trace.dataset.sizes.get("head", 0) > 1:
        tiles = f"means of {values.head_step} positions" if values.head_step else ""
        ranges = values.head_ranges
        single = f"full resolution at {_list(ranges)}" if ranges else ""
        yield f"single heads: {' and '.join(filter(None, (tiles, single))) or 'left out'}"
    pool = values.at_length["map"]["pool"] if "map" in values.at_length else 1
    if pool > 1:
        yield f"each tile of the map stands for {pool} × {pool} of the trace's"


def _errors(values: FigureValues) -> Iterator[str]:
    """Yield the rounding errors in words."""
    for name, packed in values.packed.items():
        if packed["error"] > 0 and name in _NAMES:
            unit = " nats" if name.endswith(_NATS) else ""
            yield f"{_NAMES[name]} ±{packed['error']:.1g}{unit}"
    at_length = values.at_length
    errors = {
        "map": at_length["map"]["error"] if "map" in at_length else 0,
        "received": at_length["received"]["error"] if "received" in at_length else 0,
        "spread": at_length["spread"]["error"] if "spread" in at_length else 0,
    }
    yield from (f"{name} ±{error:.1g}" for name, error in errors.items() if error > 0)
    windows = [window["values"]["error"] for window in at_length["windows"]]
    if any(windows):
        yield f"exact weights ±{max(windows):.1g}"


def _count(ranges: Sequence[Range]) -> str:
    """Return the number of positions in words."""
    return count(sum(stop - start for start, stop in ranges), "position")


def _list(ranges: Sequence[Range]) -> str:
    """Return the last ranges, and how many others there are."""
    shown = [f"{start:,}–{stop - 1:,}" for start, stop in ranges[-4:]]
    others = len(ranges) - len(shown)
    return ", ".join(shown) + (f" and {others} more" if others > 0 else "")
