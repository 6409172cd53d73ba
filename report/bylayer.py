"""What each layer is like on average: statistics of the lens and of attention, a value a layer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from attentropy.engine.trace import Trace
from attentropy.report import planes
from attentropy.report.payload import is_causal

_SINK_KEYS = 4


@dataclass(frozen=True)
class Curve:
    """A statistic over the layers, [layer], NaN where it was not measured: its mean, `low` and
    `high` around it, and what a uniform row would give; None where there is no such thing."""

    name: str
    title: str
    mean: np.ndarray
    low: np.ndarray | None = None
    high: np.ndarray | None = None
    uniform: np.ndarray | None = None
    top: float | None = None  # the end of its range, where it has one


def lens(trace: Trace) -> list[Curve]:
    """Mean lens entropy (nats) with its quartiles over the positions read; the share of them whose
    likeliest token is the one that the model predicts; mean divergence (nats) with its quartiles.
    """
    if "lens_entropy" not in trace:
        return []
    entropy = trace.lens("lens_entropy")
    read = np.isfinite(entropy)
    found = [_quartiles("lens_entropy", "lens entropy (nats)", entropy)]
    if "lens_rank" in trace:
        ranks = trace.lens("lens_rank")
        there = read & (ranks >= 0)
        share = _mean((ranks == 0).astype(np.float64), there)
        title = "share of positions whose top token the model predicts"
        found.append(Curve("predicted", title, share, top=1.0))
    if "lens_kl" in trace:
        found.append(_quartiles("lens_kl", "KL to the last layer (nats)", trace.lens("lens_kl")))
    return [curve for curve in found if np.isfinite(curve.mean).any()]


def attention(trace: Trace) -> list[Curve]:
    """Means over queries and heads of the statistics that the trace holds, the lowest and the
    highest head around them. One layer of one statistic is in memory at a time."""
    if "entropy" not in trace:
        return []
    seen = trace["visible"].astype(np.float64) if "visible" in trace else None
    found = [_heads(trace, "entropy", "attention entropy (nats)")]
    if seen is not None:
        ceiling = np.where(seen >= 2, np.log(np.maximum(seen, 2)), np.nan)
        title = "normalized entropy (share of ln(visible))"
        found.append(_heads(trace, "entropy", title, "normalized_entropy", ceiling, top=1.0))
    for name, title, top in (
        ("sink_mass", "sink mass (on the first four tokens)", 1.0),
        ("max_prob", "largest weight of a query", 1.0),
        ("distance", "mean attended distance (tokens)", None),
    ):
        if name in trace:
            found.append(_heads(trace, name, title, top=top))
    if seen is not None:
        found = [_beside_uniform(trace, curve, seen) for curve in found]
    return [curve for curve in found if np.isfinite(curve.mean).any()]


def _quartiles(name: str, title: str, values: np.ndarray) -> Curve:
    """[layer, position] to mean and quartiles a layer."""
    low, high = np.full((2, len(values)), np.nan)
    for layer, row in enumerate(values):
        there = row[np.isfinite(row)]
        if there.size:
            low[layer], high[layer] = np.quantile(there, (0.25, 0.75))
    return Curve(name, title, _mean(values, np.isfinite(values)), low, high)


def _heads(
    trace: Trace,
    variable: str,
    title: str,
    name: str | None = None,
    over: np.ndarray | None = None,
    top: float | None = None,
) -> Curve:
    """Means of an attention statistic, divided by `over` [layer, query] where that is given."""
    mean, low, high = np.full((3, trace.dataset.sizes["layer"]), np.nan)
    for layer, values in enumerate(planes.layers(trace, variable)):
        if over is not None:
            values = values / over[layer]
        there = np.isfinite(values)
        per_head = _mean(values, there)
        if there.any():
            mean[layer] = values[there].mean(dtype=np.float64)
            low[layer], high[layer] = np.nanmin(per_head), np.nanmax(per_head)
    several = trace.dataset.sizes["head"] > 1
    return Curve(
        name or variable, title, mean, low if several else None, high if several else None, top=top
    )


def _mean(values: np.ndarray, there: np.ndarray) -> np.ndarray:
    """Mean of each row's values that are `there`; NaN where none is."""
    count = there.sum(-1)
    total = np.where(there, values, 0).sum(-1, dtype=np.float64)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _beside_uniform(trace: Trace, curve: Curve, seen: np.ndarray) -> Curve:
    """The curve with what rows of equal weights over the visible keys would give."""
    some = np.where(seen >= 1, seen, np.nan)
    if curve.name == "entropy":
        rows = np.log(some)
    elif curve.name == "max_prob":
        rows = 1 / some
    elif curve.name == "distance" and is_causal(trace):
        rows = (some - 1) / 2
    elif curve.name == "sink_mass" and not (trace["role"] == "padding").any():
        # The first keys are visible to the queries that see all keys before them.
        everything = seen == np.arange(seen.shape[1]) + 1
        rows = np.where(everything, np.minimum(1, _SINK_KEYS / some), np.where(seen >= 1, 0, some))
    else:
        return curve
    uniform = np.where(np.isfinite(curve.mean), _mean(rows, np.isfinite(rows)), np.nan)
    return Curve(
        curve.name, curve.title, curve.mean, curve.low, curve.high, uniform, curve.top
    )  # fmt: skip
