"""Findings about one trace, as sentences with their values, thresholds and numbers of cells."""

from __future__ import annotations

import math

import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.report import planes
from attentropy.report.findings.finding import Observation, head_label, layer_name
from attentropy.report.findings.rehearsal import observe_rehearsal, of_site
from attentropy.report.findings.scored_heads import observe_heads
from attentropy.report.findings.settled import observe_settled
from attentropy.report.units import count, percent

# Sink mass means little while a uniform row puts most of its weight on four keys.
_SINK_KEYS = 4
_SINK_VISIBLE = 4 * _SINK_KEYS


def observe(trace: Trace, attention: planes.AttentionPlanes | None = None) -> list[Observation]:
    """Return what stands out in a trace, and what was looked for and not found.

    With `attention` the entropies of all heads are not read again.
    """
    findings: list[Observation | None] = [observe_rehearsal(trace)]
    if "lens_entropy" in trace:
        findings += [observe_settled(trace), _lens_layers(trace)]
    attention = attention or planes.read_attention(trace)
    if attention is not None:
        sums, counted = attention.normalized_sum, attention.normalized_count
        findings += [_attention_extremes(trace, sums, counted), _range_used(trace, sums, counted)]
        if "sink_mass" in trace and np.isfinite(attention.mean).any():
            findings.append(_sinks(trace))
    findings += observe_heads(trace)
    return [observation for observation in findings if observation is not None]


def _lens_layers(trace: Trace) -> Observation | None:
    """Return the layers with the lowest and the highest mean lens entropy."""
    values = trace.lens("lens_entropy", slice(trace.prompt_tokens))
    if not np.isfinite(values).any():
        return None
    values = np.where(np.isfinite(values), values, np.nan)
    rows = np.flatnonzero(np.isfinite(values).any(-1))
    means = np.array([np.nanmean(values[row]) for row in rows])
    low = int(rows[means.argmin()])
    n = int(np.isfinite(values).any(0).sum())
    text = (
        f"Mean lens entropy{of_site(trace)} {_extremes(trace, rows, means, ' nats', 2)}, over "
        f"{count(n, 'position')}."
    )
    return Observation("lens_layers", text, "lens_entropy", float(means.min()), n=n, layer=low)


def _extremes(
    trace: Trace, rows: np.ndarray, means: np.ndarray, unit: str, digits: int
) -> str:  # fmt: skip
    """Return where the means of the layers `rows` are lowest and highest, as words after "is".

    Means that are written alike are said to be equal.
    """
    texts = [f"{value:.{digits}f}{unit}" for value in (means.min(), means.max())]
    low, high = (layer_name(trace, rows[at]) for at in (means.argmin(), means.argmax()))
    if len(rows) == 1:
        return f"is {texts[0]} in {low}"
    if texts[0] == texts[1]:
        return f"is {texts[0]} in every layer"
    return f"is lowest in {low} ({texts[0]}) and highest in {high} ({texts[1]})"


def _attention_extremes(
    trace: Trace, sums: np.ndarray, counted: np.ndarray
) -> Observation | None:  # fmt: skip
    """Return the most focused and the most diffuse head.

    `sums` [layer, head] are those of normalized entropy over queries, `counted` their numbers.
    """
    if not counted.any():
        return None
    means = np.where(counted > 0, sums / np.maximum(counted, 1), np.nan)
    low = np.unravel_index(np.nanargmin(means), means.shape)
    high = np.unravel_index(np.nanargmax(means), means.shape)
    names = [int(trace["head"][at[1]]) for at in (low, high)]
    labels = [head_label(trace, at[0], name) for at, name in zip((low, high), names, strict=True)]
    values = [f"{means[at]:.2f}" for at in (low, high)]
    n = int((counted > 0).sum())
    if n == 1:
        text = f"{labels[0][0].upper()}{labels[0][1:]} has mean normalized entropy {values[0]}."
    elif values[0] == values[1]:
        what = "head" if names[0] >= 0 else "layer"
        text = f"All {count(n, what)} have the same mean normalized entropy, {values[0]}."
    else:
        kind = " head" if names[0] >= 0 else ""
        text = (
            f"Most focused{kind}: {labels[0]}, normalized entropy {values[0]}. Most "
            f"diffuse{kind}: {labels[1]}, {values[1]}."
        )
    return Observation(
        "heads", text, "normalized_entropy", float(means[low]), "share of ln(visible)",
        n=int(counted[low]), view="attention", layer=int(low[0]),
        head=names[0] if names[0] >= 0 else None,
    )  # fmt: skip


def _range_used(trace: Trace, sums: np.ndarray, counted: np.ndarray) -> Observation | None:
    """Return the mean normalized entropy, and the layers where it is lowest and highest."""
    n = int(counted.sum())
    if not n:
        return None
    mean = float(sums.sum() / n)
    per_layer = counted.sum(1)
    rows = np.flatnonzero(per_layer)
    means = sums.sum(1)[rows] / per_layer[rows]
    text = (
        f"Mean normalized attention entropy is {mean:.2f} (1 = uniform over visible keys). By "
        f"layer, it {_extremes(trace, rows, means, '', 2)}."
    )
    return Observation(
        "range", text, "normalized_entropy", mean, "share of ln(visible)", n=n,
        view="attention", layer=int(rows[means.argmin()]),
    )  # fmt: skip


def _sinks(trace: Trace) -> Observation:
    """Return the mean sink mass of queries that see enough keys, and the head with the most."""
    parts, expected, prompt = [], 0.0, trace.prompt_tokens
    for entry, values in enumerate(planes.read_layers(trace, "sink_mass")):
        visible = trace.dataset["visible"][entry, :prompt].values.astype(np.float64)
        values = values[:, :prompt]
        is_counted = np.isfinite(values) & (visible >= _SINK_VISIBLE)
        total = np.where(is_counted, values, 0).sum(-1, dtype=np.float64)
        parts.append((total, is_counted.sum(-1)))
        expected += float(is_counted.sum(0) @ (_SINK_KEYS / np.maximum(visible, 1)))
    sums, counted = (np.array(part) for part in zip(*parts, strict=True))
    n = int(counted.sum())
    if not n:
        why = f"no query sees at least {_SINK_VISIBLE} keys"
        if prompt < _SINK_VISIBLE:
            why = f"the prompt is too short (it needs at least {_SINK_VISIBLE} tokens)"
        text = f"Sink mass was not measured: {why}."
        return Observation(
            "sinks", text, "sink_mass", unit="share", is_found=False, view="attention"
        )
    value, expected = float(sums.sum() / n), expected / n
    per_head = np.where(counted > 0, sums / np.maximum(counted, 1), -math.inf)
    layer, head = np.unravel_index(per_head.argmax(), per_head.shape)
    number = int(trace["head"][head])
    text = (
        f"Attention sink: the first {_SINK_KEYS} tokens receive {percent(value)} of attention "
        f"(uniform: {percent(expected)}), over queries that see at least {_SINK_VISIBLE} keys. "
        f"Highest: {head_label(trace, layer, number)}, {percent(per_head[layer, head])}."
    )
    return Observation(
        "sinks", text, "sink_mass", value, "share", expected, n, value > expected, "attention",
        int(layer), None, number if number >= 0 else None,
    )  # fmt: skip
