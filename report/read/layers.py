"""What each layer is like on average: statistics of the lens and of attention, a value a layer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.report import planes
from attentropy.report.read.visible import is_causal

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


def attention(trace: Trace, read: planes.Attention | None = None) -> list[Curve]:
    """Means over queries and heads of the statistics that the trace holds, the lowest and the
    highest head around them. One layer of one statistic is in memory at a time; `read` spares
    reading the entropies of all heads again."""
    read = read or planes.attention(trace)
    if read is None:
        return []
    seen = trace["visible"].astype(np.float64) if "visible" in trace else None
    found = [_of_heads("entropy", "attention entropy (nats)", read.total, read.heard)]
    if seen is not None:
        title = "normalized entropy (share of ln(visible))"
        found.append(_of_heads("normalized_entropy", title, read.normalized, read.counted, top=1.0))
    for name, title, top in (
        ("sink_mass", "sink mass (on the first four tokens)", 1.0),
        ("max_prob", "largest weight of a query", 1.0),
        ("distance", "mean attended distance (tokens)", None),
    ):
        if name in trace:
            sums = np.array([_sums(values) for values in planes.layers(trace, name)])
            found.append(_of_heads(name, title, sums[:, 0], sums[:, 1], top=top))
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


def _sums(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of [head, query] each head's sum, and of how many queries."""
    there = np.isfinite(values)
    return np.where(there, values, 0).sum(-1, dtype=np.float64), there.sum(-1)


def _of_heads(
    name: str, title: str, total: np.ndarray, counted: np.ndarray, top: float | None = None
) -> Curve:
    """From sums over queries and their numbers [layer, head] to means over heads and queries."""
    several, queries = counted.shape[1] > 1, counted.sum(1)
    mean = np.where(queries > 0, total.sum(1) / np.maximum(queries, 1), np.nan)
    heads = total / np.maximum(counted, 1)
    low = np.where(counted > 0, heads, np.inf).min(1)
    high = np.where(counted > 0, heads, -np.inf).max(1)
    low, high = (np.where(queries > 0, end, np.nan) for end in (low, high))
    return Curve(name, title, mean, low if several else None, high if several else None, top=top)


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
