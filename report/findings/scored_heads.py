"""Findings about heads: how many are sinks, local, diffuse, and which copies most."""

from __future__ import annotations

from typing import Any

import numpy as np

from attentropy.engine.maps.head_scores import LOCAL_KEYS, SCORES, HeadScore
from attentropy.engine.trace.dataset import Trace
from attentropy.report.findings.finding import Observation, head_label
from attentropy.report.units import count, percent

# Score: one head that passes, several heads that do, what passes, with {threshold}.
_KINDS = {
    "sink": ("has an attention sink", "have an attention sink",
             "first key receives more than {threshold} of the attention"),
    "local": ("is local", "are local",
              f"more than {{threshold}} of the attention on the last {LOCAL_KEYS} keys"),
    "diffuse": ("is diffuse", "are diffuse", "mean normalized entropy above {threshold}"),
}  # fmt: skip
_STRONGEST = {
    "previous": "Strongest previous-token head",
    "induction": "Strongest induction head (on repeated random tokens)",
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
    assert score.threshold is not None
    measured = np.isfinite(values)
    passing, n = int((values[measured] > score.threshold).sum()), int(measured.sum())
    entry, head, best = _best(trace, values)
    one, many, criterion = _KINDS[name]
    reference = "" if uniform is None else f"; uniform: {_written(name, uniform)}"
    criterion = criterion.format(threshold=_written(name, score.threshold))
    verdict = many if passing > 1 else one
    text = (
        f"{passing or 'None'} of {count(n, 'head')} {verdict} ({criterion}{reference}). Highest: "
        f"{head_label(trace, entry, head)}, {_written(name, best)}."
    )
    return Observation(
        f"head_{name}", text, f"head_{name}", best, _unit(name), score.threshold, n, passing > 0,
        "attention", entry, None, head,
    )  # fmt: skip


def _strongest(
    trace: Trace, name: str, values: np.ndarray, uniform: float | None
) -> Observation:  # fmt: skip
    """Return the head with the highest score, compared with a uniform row's."""
    entry, head, best = _best(trace, values)
    reference = "" if uniform is None else f" (uniform: {percent(uniform)})"
    n = int(np.isfinite(values).sum())
    text = (
        f"{_STRONGEST[name]}: {head_label(trace, entry, head)}, {percent(best)} of its attention"
        f"{reference}."
    )
    return Observation(
        f"head_{name}", text, f"head_{name}", best, _unit(name), uniform, n,
        uniform is None or best > uniform, "attention", entry, None, head,
    )  # fmt: skip


def _written(name: str, value: float) -> str:
    """Return a score as a sentence writes it: a share of attention in percent."""
    return f"{value:.2g}" if name == "diffuse" else percent(value)


def _best(trace: Trace, values: np.ndarray) -> tuple[int, int, float]:
    """Return layer entry, the head's number and its score, of the highest score."""
    entry, head = np.unravel_index(np.nanargmax(values), values.shape)
    number = trace["score_head"][head] if "score_head" in trace else head
    return int(entry), int(number), float(values[entry, head])


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
