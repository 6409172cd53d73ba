"""Curves over the layers: statistics of the lens and of attention, one value per layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.lens_skill import lens_skill
from attentropy.engine.trace.statistics import BY_NAME
from attentropy.report import planes
from attentropy.report.compare.difference import Difference
from attentropy.report.read.views import View
from attentropy.report.read.visible import is_causal

_SINK_KEYS = 4
_FIRST = ("sink_mass", "max_prob", "distance")  # the order of the page's charts; others follow


@dataclass(frozen=True)
class Curve:
    """A statistic over the layers, [layer], NaN where it was not measured.

    `low` and `high` are the range around the mean, `uniform` is the value of a uniform row; each is
    None where there is no such thing. `top` is the end of the statistic's range, where it has one,
    and `bottom` the lowest value that is drawn. `heading` names the mean in a table, and
    `is_percent` says whether a statistic with a range is written in percent.
    """

    name: str
    title: str
    mean: np.ndarray
    low: np.ndarray | None = None
    high: np.ndarray | None = None
    uniform: np.ndarray | None = None
    top: float | None = None
    bottom: float = 0.0
    heading: str = "mean"
    is_percent: bool = True


def lens_curves(trace: Trace) -> list[Curve]:
    """Return the curves of the lens, over the prompt's positions that it read.

    These are the mean entropy (nats) with its quartiles, skill and agreement of the lens (where
    they are not measured: the share of positions whose top token is the one that the model
    predicts), and the mean divergence (nats) with its quartiles.
    """
    if "lens_entropy" not in trace:
        return []
    prompt = slice(trace.prompt_tokens)
    entropy = trace.lens("lens_entropy", prompt)
    is_read = np.isfinite(entropy)
    curves = [_quartiles("lens_entropy", "lens entropy (nats)", entropy)]
    own = _readability(trace)
    curves += own
    if "lens_rank" in trace and not own:
        ranks = trace.lens("lens_rank", prompt)
        share = _mean((ranks == 0).astype(np.float64), is_read & (ranks >= 0))
        title = "share of positions where the lens's top token is the prediction"
        curves.append(Curve("predicted", title, share, top=1.0))
    if "lens_kl" in trace:
        divergence = trace.lens("lens_kl", prompt)
        curves.append(_quartiles("lens_kl", "KL to the last layer (nats)", divergence))
    return [curve for curve in curves if np.isfinite(curve.mean).any()]


def _readability(trace: Trace) -> list[Curve]:
    """Return how far the lens can be read: its skill, and how often it names the same token."""
    lens = lens_skill(trace, trace.site)
    if lens is None:
        return []
    guess = np.where(np.isfinite(lens.skill), 0.0, np.nan)
    bottom = -1.0 if np.nanmin(lens.skill) < 0 else 0.0
    skill = "lens skill (1 = the model's output, 0 = a uniform guess)"
    agreement = "share of positions where the lens's top token is the last layer's"
    return [
        Curve("lens_skill", skill, lens.skill, None, None, guess, 1.0, bottom, "skill", False),
        Curve("lens_agreement", agreement, lens.agreement, top=1.0, heading="share"),
    ]


def difference_curves(difference: Difference, views: Sequence[View]) -> list[Curve]:
    """Return B − A of each view over the positions that are compared: mean and quartiles (nats).

    The dashed line of a uniform row stands at zero, where A and B are the same.
    """
    curves = []
    for view in views:
        title = f"B − A of the {view.what} (nats)"
        curve = _quartiles(view.name, title, view.values[:, difference.compared])
        if not np.isfinite(curve.mean).any():
            continue
        assert curve.low is not None  # quartiles have both ends
        lowest = min(0.0, float(np.nanmin(np.fmin(curve.low, curve.mean))))
        zero = np.where(np.isfinite(curve.mean), 0.0, np.nan)
        curves.append(replace(curve, uniform=zero, bottom=lowest))
    return curves


def attention_curves(trace: Trace, read: planes.AttentionPlanes | None = None) -> list[Curve]:
    """Return the curves of attention: means over the prompt's queries and heads, and their range.

    One layer of one statistic is in memory at a time. With `read` the entropies of all heads are
    not read again.
    """
    read = read or planes.read_attention(trace)
    if read is None:
        return []
    prompt, visible = trace.prompt_tokens, None
    if "visible" in trace:
        visible = trace["visible"][:, :prompt].astype(np.float64)
    curves = [
        _of_heads("entropy", "attention entropy (nats)", read.entropy_sum, read.entropy_count)
    ]
    if visible is not None:
        title = "normalized entropy (1 = uniform)"
        curves.append(
            _of_heads(
                "normalized_entropy", title, read.normalized_sum, read.normalized_count, top=1.0
            )
        )
    for name in dict.fromkeys((*_FIRST, *BY_NAME)):
        statistic = BY_NAME[name]
        if name in trace and statistic.labels is not None:
            title, top = statistic.labels.curve, 1.0 if statistic.upper_end == "one" else None
            sums = np.array(
                [_sums(values[:, :prompt]) for values in planes.read_layers(trace, name)]
            )
            curves.append(_of_heads(name, title, sums[:, 0], sums[:, 1], top=top))
    if visible is not None:
        curves = [_with_uniform(trace, curve, visible) for curve in curves]
    return [curve for curve in curves if np.isfinite(curve.mean).any()]


def _quartiles(name: str, title: str, values: np.ndarray) -> Curve:
    """Return mean and quartiles per layer of values [layer, position]."""
    low, high = np.full((2, len(values)), np.nan)
    for layer, row in enumerate(values):
        finite = row[np.isfinite(row)]
        if finite.size:
            low[layer], high[layer] = np.quantile(finite, (0.25, 0.75))
    return Curve(name, title, _mean(values, np.isfinite(values)), low, high)


def _sums(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each head's sum of values [head, query], and over how many queries it goes."""
    finite = np.isfinite(values)
    return np.where(finite, values, 0).sum(-1, dtype=np.float64), finite.sum(-1)


def _of_heads(
    name: str, title: str, total: np.ndarray, counted: np.ndarray, top: float | None = None
) -> Curve:
    """Return means over heads and queries from sums over queries and their numbers [layer, head].

    A trace of one head has no range of heads.
    """
    several, queries = counted.shape[1] > 1, counted.sum(1)
    mean = np.where(queries > 0, total.sum(1) / np.maximum(queries, 1), np.nan)
    heads = total / np.maximum(counted, 1)
    low = np.where(counted > 0, heads, np.inf).min(1)
    high = np.where(counted > 0, heads, -np.inf).max(1)
    low, high = (np.where(queries > 0, end, np.nan) for end in (low, high))
    return Curve(name, title, mean, low if several else None, high if several else None, top=top)


def _mean(values: np.ndarray, is_counted: np.ndarray) -> np.ndarray:
    """Return the mean of each row's counted values; NaN where there is none."""
    count = is_counted.sum(-1)
    total = np.where(is_counted, values, 0).sum(-1, dtype=np.float64)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _with_uniform(trace: Trace, curve: Curve, visible: np.ndarray) -> Curve:
    """Return the curve with the value of rows of equal weights over the visible keys."""
    keys = np.where(visible >= 1, visible, np.nan)
    if curve.name == "entropy":
        rows = np.log(keys)
    elif curve.name == "max_prob":
        rows = 1 / keys
    elif curve.name == "distance" and is_causal(trace):
        rows = (keys - 1) / 2
    elif curve.name == "sink_mass" and not (trace["role"] == "padding").any():
        # The first keys are visible to the queries that see all keys before them.
        sees_all = visible == np.arange(visible.shape[1]) + 1
        sinks = np.minimum(1, _SINK_KEYS / keys)
        rows = np.where(sees_all, sinks, np.where(visible >= 1, 0, keys))
    else:
        return curve
    uniform = np.where(np.isfinite(curve.mean), _mean(rows, np.isfinite(rows)), np.nan)
    return replace(curve, uniform=uniform)
