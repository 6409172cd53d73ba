"""Findings in plain sentences, each with its number, its threshold and what it was measured on."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.report import planes
from attentropy.report.findings.finding import Observation
from attentropy.report.findings.finding import layer_name as _layer
from attentropy.report.findings.heads import observe_heads
from attentropy.report.text import short

# Called found (definitions): the answer's token is among the five likeliest, and not by a hair.
REHEARSAL_RANK = 4
REHEARSAL_PROBABILITY = 0.05
# Sink mass means little while a uniform row would put most of itself on four keys.
_SINK_KEYS = 4
_SINK_VISIBLE = 4 * _SINK_KEYS


@dataclass(frozen=True)
class Rehearsed:
    """The cell at a dummy token where the answer is likeliest; `found` as definitions.md says."""

    entry: int
    position: int
    token: str
    probability: float
    rank: int
    found: bool
    cells: int


def observe(trace: Trace, attention: planes.Attention | None = None) -> list[Observation]:
    """What stands out in a trace, and what was looked for and not found.

    `attention` spares reading the entropies of all heads again.
    """
    found: list[Observation | None] = [_rehearsal(trace)]
    if "lens_entropy" in trace:
        found += [_settled(trace), _lens_layers(trace)]
    attention = attention or planes.attention(trace)
    if attention is not None:
        sums, counted = attention.normalized, attention.counted
        found += [_attention_extremes(trace, sums, counted), _range_used(trace, sums, counted)]
        if "sink_mass" in trace and np.isfinite(attention.mean).any():
            found.append(_sinks(trace))
    found += observe_heads(trace)
    return [observation for observation in found if observation is not None]


def strongest_rehearsal(trace: Trace) -> Rehearsed | None:
    """The strongest cell of the lens at the dummy tokens; None where none was measured.

    A cell that counts as found goes before any that does not.
    """
    if "rehearsal" not in trace:
        return None
    dummies = trace.dummy_positions()
    if not dummies.size:
        return None
    span = slice(int(dummies[0]), int(dummies[-1]) + 1)
    values = trace.lens("rehearsal", span)[:, dummies - span.start]
    ranks = trace.lens("rehearsal_rank", span)[:, dummies - span.start]
    measured = np.isfinite(values)
    if not measured.any():
        return None
    probability = np.exp(np.where(measured, values, -np.inf))
    is_found = measured & (ranks <= REHEARSAL_RANK) & (probability >= REHEARSAL_PROBABILITY)
    entry, column = np.unravel_index((probability + is_found).argmax(), values.shape)
    position = int(dummies[column])
    there = slice(position, position + 1)
    token = trace.text_of([trace.lens("rehearsal_ids", there)[entry, 0]])[0]
    return Rehearsed(
        int(entry),
        position,
        token,
        float(probability[entry, column]),
        int(ranks[entry, column]),
        bool(is_found[entry, column]),
        int(is_found.sum()),
    )


def _quoted(text: str, columns: int = 24) -> str:
    return f"“{short(text, columns)}”"


def _of_site(trace: Trace) -> str:
    return "" if trace.site == "residual" else f" of the {trace.site} output alone"


def _rehearsal(trace: Trace) -> Observation:
    name, threshold = "rehearsal", REHEARSAL_PROBABILITY
    best = strongest_rehearsal(trace)
    read = np.zeros((0, 0), bool)
    if "lens_entropy" in trace:
        read = np.isfinite(trace.lens("lens_entropy")[:, trace.dummy_positions()])
    if best is None:
        if trace.dummy_positions().size == 0:
            why = "the prompt has no template token after its last word"
        elif "rehearsal" not in trace:
            why = "the lens was not read"
        elif not read.any():
            why = "the lens did not read the dummy tokens"
        else:
            why = "the model generated no word to look for"
        text = f"Rehearsal at dummy tokens was not measured: {why}."
        return Observation(name, text, name, unit="probability", threshold=threshold, found=False)
    dummies = int(read.sum())
    where = (
        f"{_quoted(trace.tokens[best.position])} (position {best.position}), "
        f"{_layer(trace, best.entry)}{_of_site(trace)}"
    )
    likely = f"{_quoted(best.token)} has probability {best.probability:.2g}, rank {best.rank}"
    if best.found:
        text = (
            f"The answer is rehearsed at a dummy token: at {where}, the later token {likely}; "
            f"{best.cells} of {dummies} cells at dummy tokens pass."
        )
    else:
        text = (
            f"No rehearsal found at the {int(read.any(0).sum())} dummy tokens read: the strongest "
            f"is {where}, where the later token {likely}."
        )
    return Observation(
        name, text, name, best.probability, "probability", threshold, dummies, best.found,
        "lens", best.entry, best.position,
    )  # fmt: skip


def _settled(trace: Trace) -> Observation | None:
    """From which layer on the last position's lens stays with what the model then says."""
    if "lens_rank" not in trace or trace.site != "residual":
        return None
    position = trace.dataset.sizes["position"] - 1
    ranks = trace.lens("lens_rank")[:, position]
    read = np.isfinite(trace.lens("lens_entropy")[:, position])
    entries = np.flatnonzero((ranks >= 0) & read)
    if not entries.size or ranks[entries[-1]] != 0:
        return None
    late = entries[ranks[entries] != 0]
    first = int(entries[entries > late[-1]][0]) if late.size else int(entries[0])
    token = trace.text_of([trace["target_ids"][position]])[0]
    entropy = float(trace.lens("lens_entropy")[first, position])
    text = (
        f"At the last position the lens reads the model's next token {_quoted(token)} from "
        f"{_layer(trace, first)} on ({entries.size} layers read; lens entropy {entropy:.2f} nats "
        "there)."
    )
    return Observation(
        "settled", text, "lens_rank", 0.0, "rank", 0.0, int(entries.size), True, "lens", first,
        position,
    )  # fmt: skip


def _lens_layers(trace: Trace) -> Observation | None:
    values = trace.lens("lens_entropy")
    if not np.isfinite(values).any():
        return None
    values = np.where(np.isfinite(values), values, np.nan)
    rows = np.flatnonzero(np.isfinite(values).any(-1))
    means = np.array([np.nanmean(values[row]) for row in rows])
    low, high = int(rows[means.argmin()]), int(rows[means.argmax()])
    n = int(np.isfinite(values).any(0).sum())
    text = (
        f"Lens entropy{_of_site(trace)}, mean over {n} positions, is lowest in "
        f"{_layer(trace, low)} ({means.min():.2f} nats) and highest in {_layer(trace, high)} "
        f"({means.max():.2f} nats)."
    )
    return Observation("lens_layers", text, "lens_entropy", float(means.min()), n=n, layer=low)


def _attention_extremes(trace: Trace, sums: np.ndarray, counted: np.ndarray) -> Observation | None:
    if not counted.any():
        return None
    means = np.where(counted > 0, sums / np.maximum(counted, 1), np.nan)
    low = np.unravel_index(np.nanargmin(means), means.shape)
    high = np.unravel_index(np.nanargmax(means), means.shape)
    text = (
        f"The most focused head is {_layer(trace, low[0])} head {low[1]} "
        f"({means[low]:.0%} of ln(visible) on average), the most diffuse {_layer(trace, high[0])} "
        f"head {high[1]} ({means[high]:.0%})."
    )
    return Observation(
        "heads", text, "normalized_entropy", float(means[low]), "share of ln(visible)",
        n=int(counted[low]), view="attention", layer=int(low[0]), head=int(low[1]),
    )  # fmt: skip


def _range_used(trace: Trace, sums: np.ndarray, counted: np.ndarray) -> Observation | None:
    count = int(counted.sum())
    if not count:
        return None
    mean = float(sums.sum() / count)
    some = counted.sum(1)
    by_layer = np.where(some > 0, sums.sum(1) / np.maximum(some, 1), np.nan)
    low, high = int(np.nanargmin(by_layer)), int(np.nanargmax(by_layer))
    text = (
        f"Attention uses {mean:.0%} of its range 0 … ln(visible) on average; by layer from "
        f"{by_layer[low]:.0%} ({_layer(trace, low)}) to {by_layer[high]:.0%} "
        f"({_layer(trace, high)})."
    )
    return Observation(
        "range", text, "normalized_entropy", mean, "share of ln(visible)", n=count,
        view="attention", layer=low,
    )  # fmt: skip


def _sinks(trace: Trace) -> Observation:
    parts, expected = [], 0.0
    for entry, values in enumerate(planes.layers(trace, "sink_mass")):
        seen = trace.dataset["visible"][entry].values.astype(np.float64)
        there = np.isfinite(values) & (seen >= _SINK_VISIBLE)
        parts.append((np.where(there, values, 0).sum(-1, dtype=np.float64), there.sum(-1)))
        expected += float(there.sum(0) @ (_SINK_KEYS / np.maximum(seen, 1)))
    sums, counted = (np.array(part) for part in zip(*parts, strict=True))
    count = int(counted.sum())
    if not count:
        text = (
            f"Sink mass was not measured: no query sees {_SINK_VISIBLE} keys, so that four sink "
            "tokens would be few among them."
        )
        return Observation("sinks", text, "sink_mass", unit="share", found=False, view="attention")
    value, expected = float(sums.sum() / count), expected / count
    per_head = np.where(counted > 0, sums / np.maximum(counted, 1), -math.inf)
    layer, head = np.unravel_index(per_head.argmax(), per_head.shape)
    text = (
        f"The first four tokens take {value:.0%} of the attention of queries that see "
        f"{_SINK_VISIBLE} keys or more; uniform rows would give {expected:.0%}. Most: "
        f"{_layer(trace, layer)} head {head} ({per_head[layer, head]:.0%})."
    )
    return Observation(
        "sinks", text, "sink_mass", value, "share", expected, count, value > expected, "attention",
        int(layer), None, int(head),
    )  # fmt: skip
