"""Findings about heads: how many are sinks, local, diffuse, and which copies most."""

from __future__ import annotations

from typing import Any

import numpy as np

from attentropy.engine.maps.head_scores import SCORES, HeadScore
from attentropy.engine.trace.dataset import Trace
from attentropy.report.findings.finding import Observation, layer_name

# The words for one head, and for several, that exceed the threshold.
_WORDS = {"sink": ("a sink", "sinks"), "local": ("local", "local"), "diffuse": ("diffuse",) * 2}
# What a head does most, in the words of a sentence that begins with "Most".
_BEHAVIOURS = {
    "previous": "weight on the token before",
    "induction": "weight on what followed the same token before, on repeated random tokens",
}


def observe_heads(trace: Trace) -> list[Observation]:
    """Return a finding for each score that was measured."""
    findings = []
    for name, score in SCORES.items():
        variable = f"head_{name}"
        if variable not in trace or not np.isfinite(trace[variable]).any():
            continue
        values = np.where(np.isfinite(trace[variable]), trace[variable], np.nan)
        uniform = _uniform(trace, name)
        if score.threshold is None:
            findings.append(_strongest(trace, name, values, uniform))
        else:
            findings.append(_counted(trace, name, score, values, uniform))
    return findings


def _counted(
    trace: Trace, name: str, score: HeadScore, values: np.ndarray, uniform: float | None
) -> Observation:
    """Return how many heads exceed the threshold, and which has the highest score."""
    measured = np.isfinite(values)
    passing, n = int((values[measured] > score.threshold).sum()), int(measured.sum())
    entry, head, best = _best(values)
    reference = "" if uniform is None else f"; a uniform row would give {uniform:.2g}"
    criterion = f"({score.definition}, > {score.threshold:g}{reference})"
    where = f"{layer_name(trace, entry)} head {head} ({best:.2g})"
    one, many = _WORDS[name]
    if passing:
        verdict = f"is {one}" if passing == 1 else f"are {many}"
        text = f"{passing} of {n} heads {verdict} {criterion}; most: {where}."
    else:
        text = f"None of {n} heads is {one} {criterion}; nearest: {where}."
    return Observation(
        f"head_{name}", text, f"head_{name}", best, _unit(name), score.threshold, n, passing > 0,
        "attention", entry, None, head,
    )  # fmt: skip


def _strongest(
    trace: Trace, name: str, values: np.ndarray, uniform: float | None
) -> Observation:  # fmt: skip
    """Return the head with the highest score, compared with a uniform row's."""
    entry, head, best = _best(values)
    reference = "" if uniform is None else f"; a uniform row would give {uniform:.2g}"
    n = int(np.isfinite(values).sum())
    text = (
        f"Most {_BEHAVIOURS[name]} ({name}): {layer_name(trace, entry)} head {head}, {best:.2g} on "
        f"average, of {n} heads{reference}."
    )
    return Observation(
        f"head_{name}", text, f"head_{name}", best, _unit(name), uniform, n,
        uniform is None or best > uniform, "attention", entry, None, head,
    )  # fmt: skip


def _best(values: np.ndarray) -> tuple[int, int, float]:
    """Return layer entry, head and score of the highest score."""
    entry, head = np.unravel_index(np.nanargmax(values), values.shape)
    return int(entry), int(head), float(values[entry, head])


def _uniform(trace: Trace, name: str) -> float | None:
    """Return a uniform row's score, the mean over the layers where it was measured."""
    if name == "induction":
        entry: Any = trace.attrs
        for key in ("options", "induction", "uniform"):
            entry = entry.get(key) if isinstance(entry, dict) else None
        return float(entry) if isinstance(entry, (int, float)) else None
    values = trace[f"uniform_{name}"] if f"uniform_{name}" in trace else np.array([])
    measured = values[np.isfinite(values)]
    return float(measured.mean()) if measured.size else None


def _unit(name: str) -> str:
    """Return the unit of a score."""
    return "share of ln(visible)" if name == "diffuse" else "share"
