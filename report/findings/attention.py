"""Findings about attention: its sinks, and how focused it is apart from them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from attentropy.engine.maps.head_scores import SCORES
from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.focus import FOCUS_KEYS
from attentropy.report import planes
from attentropy.report.findings.finding import Observation, extremes, head_label
from attentropy.report.findings.sinks import observe_sinks
from attentropy.report.units import count, number_against


def observe_attention(trace: Trace, attention: planes.AttentionPlanes) -> list[Observation | None]:
    """Return the most focused and the most diffuse head, the range used, and the sinks."""
    findings = [_focus(trace, attention), _range_used(trace, attention)]
    if np.isfinite(attention.mean).any():
        findings.append(observe_sinks(trace))
    return findings


def _focus(trace: Trace, attention: planes.AttentionPlanes) -> Observation | None:
    """Return the most focused and the most diffuse head, by their mean normalized entropies."""
    sums, counted = attention.focus_sum, attention.focus_count
    if not counted.any() or _lacks_layers(attention):
        return None
    means = np.where(counted > 0, sums / np.maximum(counted, 1), np.nan)
    low = np.unravel_index(np.nanargmin(means), means.shape)
    high = np.unravel_index(np.nanargmax(means), means.shape)
    names = [int(trace["head"][at[1]]) for at in (low, high)]
    labels = [head_label(trace, at[0], name) for at, name in zip((low, high), names, strict=True)]
    limit = SCORES["diffuse"].threshold or 1.0
    values = [number_against(float(means[at]), limit) for at in (low, high)]
    n = int((counted > 0).sum())
    kind = " head" if names[0] >= 0 else ""
    if n == 1:
        text = f"{labels[0][0].upper()}{labels[0][1:]} has mean normalized entropy {values[0]}"
    elif values[0] == values[1]:
        what = count(n, "head" if kind else "layer")
        text = f"All {what} have the same mean normalized entropy, {values[0]}"
    else:
        text = (
            f"Most focused{kind}: {labels[0]}, normalized entropy {values[0]}. Most "
            f"diffuse{kind}: {labels[1]}, {values[1]}"
        )
    diffuse = int((np.nan_to_num(means) > limit).sum()) if kind else 0
    text += f"; {diffuse:,} of {count(n, 'head')} above {limit:g}" if diffuse else ""
    rows = rows_of(leaves_sinks_out=attention.leaves_sinks_out, numbers=counted[counted > 0])
    return Observation(
        "heads", f"{text} ({rows}).", "normalized_entropy", float(means[low]),
        "share of ln(visible)", n=int(counted[low]), view="attention", layer=int(low[0]),
        head=names[0] if names[0] >= 0 else None, shows="normalized_entropy",
    )  # fmt: skip


def _range_used(trace: Trace, attention: planes.AttentionPlanes) -> Observation | None:
    """Return the mean normalized entropy, and the layers where it is lowest and highest."""
    sums, counted = attention.focus_sum, attention.focus_count
    n = int(counted.sum())
    if not n or _lacks_layers(attention):
        return None
    mean = float(sums.sum() / n)
    per_layer = counted.sum(1)
    layers = np.flatnonzero(per_layer)
    means = sums.sum(1)[layers] / per_layer[layers]
    rows = rows_of(leaves_sinks_out=attention.leaves_sinks_out, numbers=counted[counted > 0])
    text = (
        f"Mean normalized attention entropy is {mean:.2f} (1 = uniform; {rows}). By layer, it "
        f"{extremes(trace, layers, means, '', 2)}."
    )
    return Observation(
        "range", text, "normalized_entropy", mean, "share of ln(visible)", n=n,
        view="attention", shows="normalized_entropy",
    )  # fmt: skip


def _lacks_layers(attention: planes.AttentionPlanes) -> bool:
    """Return whether some layers have rows, but none with enough keys: the prompt is too short."""
    has_rows, has_enough = (
        values.any(1) for values in (attention.normalized_count, attention.focus_count)
    )
    return bool((has_rows & ~has_enough).any())


def rows_of(*, leaves_sinks_out: bool, numbers: Sequence[int] | np.ndarray = ()) -> str:
    """Return which rows and keys the means are over; numbers: how many rows each of them has."""
    sinks = "sink keys left out" if leaves_sinks_out else "sink keys included"
    queries = "queries"
    if len(numbers):
        least, most = int(min(numbers)), int(max(numbers))
        queries = count(most, "query", "queries")
        queries = queries if least == most else f"{least:,} to {queries}"
    return f"{queries} with at least {FOCUS_KEYS} keys, {sinks}"
