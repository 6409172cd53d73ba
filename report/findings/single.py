"""Findings about one trace, as sentences with their values, thresholds and numbers of cells."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.report import planes
from attentropy.report.findings.finding import Observation, layer_name, quoted
from attentropy.report.findings.scored_heads import observe_heads

# A rehearsal counts as found where a token of the answer is among the top five and not negligible.
REHEARSAL_RANK = 4
REHEARSAL_PROBABILITY = 0.05
# Sink mass means little while a uniform row puts most of its weight on four keys.
_SINK_KEYS = 4
_SINK_VISIBLE = 4 * _SINK_KEYS


@dataclass(frozen=True)
class StrongestRehearsal:
    """The cell at a dummy token where a token of the answer has the highest probability.

    `entry` is that along `layer`; `rank` and `is_found` are defined in definitions.md;
    `cells` is the number of cells that count as found.
    """

    entry: int
    position: int
    token: str
    probability: float
    rank: int
    is_found: bool
    cells: int


def observe(trace: Trace, attention: planes.AttentionPlanes | None = None) -> list[Observation]:
    """Return what stands out in a trace, and what was looked for and not found.

    With `attention` the entropies of all heads are not read again.
    """
    findings: list[Observation | None] = [_rehearsal(trace)]
    if "lens_entropy" in trace:
        findings += [_settled(trace), _lens_layers(trace)]
    attention = attention or planes.read_attention(trace)
    if attention is not None:
        sums, counted = attention.normalized_sum, attention.normalized_count
        findings += [_attention_extremes(trace, sums, counted), _range_used(trace, sums, counted)]
        if "sink_mass" in trace and np.isfinite(attention.mean).any():
            findings.append(_sinks(trace))
    findings += observe_heads(trace)
    return [observation for observation in findings if observation is not None]


def strongest_rehearsal(trace: Trace) -> StrongestRehearsal | None:
    """Return the strongest cell of the lens at the dummy tokens; None where none was measured.

    Cells that count as found precede those that do not.
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
    span = slice(position, position + 1)
    token = trace.text_of([trace.lens("rehearsal_ids", span)[entry, 0]])[0]
    return StrongestRehearsal(
        int(entry),
        position,
        token,
        float(probability[entry, column]),
        int(ranks[entry, column]),
        bool(is_found[entry, column]),
        int(is_found.sum()),
    )


def _of_site(trace: Trace) -> str:
    """Return the words for the lens's site; none for the residual stream."""
    return "" if trace.site == "residual" else f" of the {trace.site} output alone"


def _rehearsal(trace: Trace) -> Observation:
    """Return whether the lens shows a token of the answer at a dummy token."""
    name, threshold = "rehearsal", REHEARSAL_PROBABILITY
    best = strongest_rehearsal(trace)
    is_read = np.zeros((0, 0), bool)
    if "lens_entropy" in trace:
        is_read = np.isfinite(trace.lens("lens_entropy")[:, trace.dummy_positions()])
    if best is None:
        text = f"Rehearsal at dummy tokens was not measured: {_no_rehearsal(trace, is_read)}."
        return Observation(
            name, text, name, unit="probability", threshold=threshold, is_found=False
        )
    cells = int(is_read.sum())
    where = (
        f"{quoted(trace.tokens[best.position])} (position {best.position}), "
        f"{layer_name(trace, best.entry)}{_of_site(trace)}"
    )
    token = f"{quoted(best.token)} has probability {best.probability:.2g}, rank {best.rank}"
    if best.is_found:
        text = (
            f"The answer is rehearsed at a dummy token: at {where}, the later token {token}; "
            f"{best.cells} of {cells} cells at dummy tokens pass."
        )
    else:
        text = (
            f"No rehearsal found at the {int(is_read.any(0).sum())} dummy tokens read: the "
            f"strongest is {where}, where the later token {token}."
        )
    return Observation(
        name, text, name, best.probability, "probability", threshold, cells, best.is_found,
        "lens", best.entry, best.position,
    )  # fmt: skip


def _no_rehearsal(trace: Trace, is_read: np.ndarray) -> str:
    """Return why rehearsal was not measured; `is_read` [layer, dummy token]: by the lens."""
    if trace.dummy_positions().size == 0:
        return "the prompt has no template token after its last word"
    if "rehearsal" not in trace:
        return "the lens was not read"
    if not is_read.any():
        return "the lens did not read the dummy tokens"
    return "the model generated no word to look for"


def _settled(trace: Trace) -> Observation | None:
    """Return from which layer on the last position's lens reads the model's next token."""
    if "lens_rank" not in trace or trace.site != "residual":
        return None
    position = trace.dataset.sizes["position"] - 1
    ranks = trace.lens("lens_rank")[:, position]
    is_read = np.isfinite(trace.lens("lens_entropy")[:, position])
    entries = np.flatnonzero((ranks >= 0) & is_read)
    if not entries.size or ranks[entries[-1]] != 0:
        return None
    others = entries[ranks[entries] != 0]  # the lens reads another token there
    first = int(entries[entries > others[-1]][0]) if others.size else int(entries[0])
    token = trace.text_of([trace["target_ids"][position]])[0]
    entropy = float(trace.lens("lens_entropy")[first, position])
    text = (
        f"At the last position the lens reads the model's next token {quoted(token)} from "
        f"{layer_name(trace, first)} on ({entries.size} layers read; lens entropy {entropy:.2f} "
        "nats there)."
    )
    return Observation(
        "settled", text, "lens_rank", 0.0, "rank", 0.0, int(entries.size), True, "lens", first,
        position,
    )  # fmt: skip


def _lens_layers(trace: Trace) -> Observation | None:
    """Return the layers with the lowest and the highest mean lens entropy."""
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
        f"{layer_name(trace, low)} ({means.min():.2f} nats) and highest in "
        f"{layer_name(trace, high)} ({means.max():.2f} nats)."
    )
    return Observation("lens_layers", text, "lens_entropy", float(means.min()), n=n, layer=low)


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
    text = (
        f"The most focused head is {layer_name(trace, low[0])} head {low[1]} "
        f"({means[low]:.0%} of ln(visible) on average), the most diffuse "
        f"{layer_name(trace, high[0])} head {high[1]} ({means[high]:.0%})."
    )
    return Observation(
        "heads", text, "normalized_entropy", float(means[low]), "share of ln(visible)",
        n=int(counted[low]), view="attention", layer=int(low[0]), head=int(low[1]),
    )  # fmt: skip


def _range_used(trace: Trace, sums: np.ndarray, counted: np.ndarray) -> Observation | None:
    """Return the mean normalized entropy, and the layers where it is lowest and highest."""
    count = int(counted.sum())
    if not count:
        return None
    mean = float(sums.sum() / count)
    per_layer = counted.sum(1)
    by_layer = np.where(per_layer > 0, sums.sum(1) / np.maximum(per_layer, 1), np.nan)
    low, high = int(np.nanargmin(by_layer)), int(np.nanargmax(by_layer))
    text = (
        f"Attention uses {mean:.0%} of its range 0 … ln(visible) on average; by layer from "
        f"{by_layer[low]:.0%} ({layer_name(trace, low)}) to {by_layer[high]:.0%} "
        f"({layer_name(trace, high)})."
    )
    return Observation(
        "range", text, "normalized_entropy", mean, "share of ln(visible)", n=count,
        view="attention", layer=low,
    )  # fmt: skip


def _sinks(trace: Trace) -> Observation:
    """Return the mean sink mass of queries that see enough keys, and the head with the most."""
    parts, expected = [], 0.0
    for entry, values in enumerate(planes.read_layers(trace, "sink_mass")):
        visible = trace.dataset["visible"][entry].values.astype(np.float64)
        is_counted = np.isfinite(values) & (visible >= _SINK_VISIBLE)
        total = np.where(is_counted, values, 0).sum(-1, dtype=np.float64)
        parts.append((total, is_counted.sum(-1)))
        expected += float(is_counted.sum(0) @ (_SINK_KEYS / np.maximum(visible, 1)))
    sums, counted = (np.array(part) for part in zip(*parts, strict=True))
    count = int(counted.sum())
    if not count:
        text = (
            f"Sink mass was not measured: no query sees {_SINK_VISIBLE} keys, so that four sink "
            "tokens would be few among them."
        )
        return Observation(
            "sinks", text, "sink_mass", unit="share", is_found=False, view="attention"
        )
    value, expected = float(sums.sum() / count), expected / count
    per_head = np.where(counted > 0, sums / np.maximum(counted, 1), -math.inf)
    layer, head = np.unravel_index(per_head.argmax(), per_head.shape)
    text = (
        f"The first four tokens take {value:.0%} of the attention of queries that see "
        f"{_SINK_VISIBLE} keys or more; uniform rows would give {expected:.0%}. Most: "
        f"{layer_name(trace, layer)} head {head} ({per_head[layer, head]:.0%})."
    )
    return Observation(
        "sinks", text, "sink_mass", value, "share", expected, count, value > expected, "attention",
        int(layer), None, int(head),
    )  # fmt: skip
