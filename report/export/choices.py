"""The choices that a figure leaves to the caller, checked against the trace."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from attentropy.engine.arguments import either, refuse
from attentropy.engine.errors import UsageError
from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.units import units_of
from attentropy.report.compare.difference import Difference
from attentropy.report.export.figure_names import FIGURES
from attentropy.report.read import plane_statistics as statistics
from attentropy.report.read.maps import score_names
from attentropy.report.read.positions import Range, read_range
from attentropy.report.read.ranges import Ends, parse_range

Requests = dict[str, Any]
"""The values that a caller passes for the choices, by name; None where nothing is chosen."""

PALETTES = ("diverging", "cividis")
THEMES = ("light", "dark")
_OF_DIFFERENCES = ("story", "lens", "attention")  # figures that show B − A


@dataclass(frozen=True)
class ExportChoices:
    """The choices of one figure.

    `stat` and `site` have the names that the page uses; the site "" is the one that the page opens
    with. `by`: the columns are words, messages or segments, and `section` [start, stop) and `inset`
    count these; None for positions. `layer` is the index of a recorded
    layer, `head` the number of a head. `range` has the ends of the scale. None: not chosen.
    `template_box`: whether the template tokens after the question are framed. `lens_skill`: whether
    rows are marked by how far the lens can be read.
    """

    figure: str
    by: str | None = None
    stat: str = "entropy"
    site: str = ""
    section: Range | None = None
    inset: int | None = None
    layer: int | None = None
    head: int | None = None
    score: str | None = None
    palette: str = "diverging"
    range: Ends | None = None
    theme: str = "light"
    template_box: bool = True
    lens_skill: bool = True


def check_choices(trace: Trace, figure: str, theme: str, requests: Requests) -> ExportChoices:
    """Return the requests that are not None, converted to the numbers of the trace.

    Raises:
        UsageError: a choice that the figure does not leave, or that the trace does not contain.
    """
    _check_name("figure", figure, tuple(FIGURES))
    _check_name("theme", theme, THEMES)
    if isinstance(trace, Difference) and figure not in _OF_DIFFERENCES:
        shown = ", ".join(_OF_DIFFERENCES[:-1]) + f" and {_OF_DIFFERENCES[-1]}"
        raise UsageError(f"`figure` {figure!r} does not apply to a comparison, which has {shown}")
    values = {name: value for name, value in requests.items() if value is not None}
    for name in values:
        if name not in FIGURES[figure]:
            takes = ", ".join(f"`{choice}`" for choice in FIGURES[figure]) or "no choices"
            raise UsageError(f"`{name}` does not apply to the figure {figure}, which takes {takes}")
    n = trace.dataset.sizes["position"]
    if "by" in values:
        if isinstance(trace, Difference):
            raise UsageError("`by` does not apply to a comparison; export its two traces")
        n = len(units_of(trace, values["by"]).names)
        if values["by"] == "token":
            del values["by"]
    if "palette" in values:
        _check_name("palette", values["palette"], PALETTES)
    if "stat" in values:
        names = (
            "entropy",
            *(statistic.name for statistic in statistics.statistics_of(trace, figure)),
        )
        _check_name("stat", values["stat"], names)
    if "site" in values:
        _check_name("site", values["site"], statistics.lens_sites(trace))
    if "section" in values:
        values["section"] = read_range(values["section"], n, "section")
    if "inset" in values:
        values["inset"] = _position(values["inset"], n, values.get("by", "position"))
    if "layer" in values:
        values["layer"] = layer_index(trace, values["layer"])
    if "range" in values:
        values["range"] = parse_range(values["range"])
    if "score" in values:
        _check_name("score", values["score"], tuple(score_names(trace)))
    return ExportChoices(figure, theme=theme, **values)


def _check_name(choice: str, name: str, possible: Sequence[str]) -> None:
    if not possible:
        raise UsageError(f"`{choice}` {name!r}: the trace has nothing to choose from")
    if name not in possible:
        raise refuse(choice, either(possible), name)


def _position(position: int, n: int, kind: str) -> int:
    if not -n <= position < n:
        raise UsageError(f"`inset`: {kind} {position} is out of range (0 to {n - 1})")
    return position % n


def layer_index(trace: Trace, layer: int) -> int:
    """Return the index of a layer's number. Raises `UsageError` if it is missing."""
    matches = np.flatnonzero(trace["layer"] == layer)
    if not matches.size:
        layers = _list_numbers(trace["layer"])
        raise UsageError(f"`layer`: {layer} is not in the trace, which has layers {layers}")
    return int(matches[0])


def head_index(names: np.ndarray, head: int | None) -> int | None:
    """Return the index of a head's number in `names`. Raises `UsageError` if it is missing."""
    if head is None:
        return None
    matches = np.flatnonzero(names == head)
    if not matches.size:
        available = (
            "only the mean over heads" if list(names) == [-1] else f"heads {_list_numbers(names)}"
        )
        raise UsageError(f"`head`: {head} is not in the trace, which has {available}")
    return int(matches[0])


def _list_numbers(values: np.ndarray) -> str:
    """Return numbers in words; consecutive ones as `first to last`."""
    numbers = [int(value) for value in values]
    if len(numbers) > 2 and numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"{numbers[0]} to {numbers[-1]}"
    return ", ".join(map(str, numbers[:12])) + (" …" if len(numbers) > 12 else "")
