"""What is asked of a figure: checked against the trace, in the trace's own numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from attentropy.engine.errors import UsageError
from attentropy.engine.trace.dataset import Trace
from attentropy.report.read import statistics
from attentropy.report.read.maps import scored
from attentropy.report.read.positions import Range, sections

# Figures, and which choices each one leaves.
FIGURES: dict[str, tuple[str, ...]] = {
    "lens": ("stat", "site", "section", "inset", "palette"),
    "attention": ("stat", "section", "inset", "layer", "head", "palette"),
    "map": ("section", "layer", "head"),
    "heads": ("score",),
    "profile": (),
}
PALETTES = ("diverging", "cividis")
THEMES = ("light", "dark")


@dataclass(frozen=True)
class Asked:
    """`stat` and `site` have the names of the page's choosers ("" is the site that opens);
    `section` [start, stop) and `inset` are positions; `layer` is an entry along `layer`, `head`
    a head's own number; None where nobody said."""

    figure: str
    stat: str = "entropy"
    site: str = ""
    section: Range | None = None
    inset: int | None = None
    layer: int | None = None
    head: int | None = None
    score: str | None = None
    palette: str = "diverging"
    theme: str = "light"


def asked(trace: Trace, figure: str, theme: str, choices: dict[str, Any]) -> Asked:
    """The choices that were made (not None), read. Raises `UsageError` for one that the figure does
    not leave, or that the trace does not hold."""
    _one_of("figure", figure, tuple(FIGURES))
    _one_of("theme", theme, THEMES)
    made = {name: value for name, value in choices.items() if value is not None}
    for name in made:
        if name not in FIGURES[figure]:
            takes = ", ".join(f"--{known}" for known in FIGURES[figure]) or "none of them"
            raise UsageError(f"--{name} is no choice of --figure {figure}: it takes {takes}")
    n = trace.dataset.sizes["position"]
    if "palette" in made:
        _one_of("palette", made["palette"], PALETTES)
    if "stat" in made:
        held = statistics.held(trace, figure)
        _one_of("stat", made["stat"], ("entropy", *(statistic.name for statistic in held)))
    if "site" in made:
        _one_of("site", made["site"], statistics.sites(trace))
    if "section" in made:
        made["section"] = _section(made["section"], n)
    if "inset" in made:
        made["inset"] = _position(made["inset"], n)
    if "layer" in made:
        made["layer"] = _entry(trace, made["layer"])
    if "score" in made:
        _one_of("score", made["score"], tuple(scored(trace)))
    return Asked(figure, theme=theme, **made)


def _one_of(name: str, given: str, known: Sequence[str]) -> None:
    if given not in known:
        raise UsageError(f"--{name} {given!r}: choose one of {', '.join(known) or 'none'}")


def _section(given: str | Range, n: int) -> Range:
    if not isinstance(given, str):
        given = f"{given[0]}:{given[1]}"
    return sections([given], n)[0]


def _position(given: int, n: int) -> int:
    if not -n <= given < n:
        raise UsageError(f"--inset {given}: the prompt has positions 0 to {n - 1}")
    return given % n


def _entry(trace: Trace, layer: int) -> int:
    found = np.flatnonzero(trace["layer"] == layer)
    if not found.size:
        raise UsageError(f"--layer {layer}: the trace holds layers {_listed(trace['layer'])}")
    return int(found[0])


def head_of(names: np.ndarray, head: int | None) -> int | None:
    """Where a head's number is among `names`. Raises `UsageError` where it is not."""
    if head is None:
        return None
    found = np.flatnonzero(names == head)
    if not found.size:
        held = "the mean alone" if list(names) == [-1] else _listed(names)
        raise UsageError(f"--head {head}: of heads, this holds {held}")
    return int(found[0])


def _listed(numbers: np.ndarray) -> str:
    """Numbers, those in a row as their ends."""
    known = [int(number) for number in numbers]
    if len(known) > 2 and known == list(range(known[0], known[-1] + 1)):
        return f"{known[0]} to {known[-1]}"
    return ", ".join(map(str, known[:12])) + (" …" if len(known) > 12 else "")
