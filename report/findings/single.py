"""Findings about one trace, as sentences with their values, thresholds and numbers of cells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.report import planes
from attentropy.report.findings.attention import observe_attention
from attentropy.report.findings.finding import Observation, extremes, layer_name, quoted
from attentropy.report.units import count, percent

# A rehearsal counts as found where a token of the answer is among the top five and not negligible.
REHEARSAL_RANK = 4
REHEARSAL_PROBABILITY = 0.05


@dataclass(frozen=True)
class StrongestRehearsal:
    """The cell at a template token where a token of the answer has the highest probability.

    `entry` is that along `layer`; `rank` (from 0) and `is_found` are those of definitions.md;
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
        findings += observe_attention(trace, attention)
    return [observation for observation in findings if observation is not None]


def strongest_rehearsal(trace: Trace) -> StrongestRehearsal | None:
    """Return the strongest cell of the lens at the template tokens; None where none was measured.

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
    """Return whether the lens shows a token of the answer at a template token."""
    name, threshold = "rehearsal", REHEARSAL_PROBABILITY
    best = strongest_rehearsal(trace)
    is_read = np.zeros((0, 0), bool)
    if "lens_entropy" in trace:
        is_read = np.isfinite(trace.lens("lens_entropy")[:, trace.dummy_positions()])
    if best is None:
        text = f"Rehearsal was not measured: {_no_rehearsal(trace, is_read)}."
        return Observation(
            name, text, name, unit="probability", threshold=threshold, is_found=False
        )
    cells = int(is_read.sum())
    where = (
        f"at the template token {quoted(trace.tokens[best.position])} (position {best.position:,})"
    )
    lens = f"the logit lens{_of_site(trace)} at {layer_name(trace, best.entry)}"
    gives = f"gives {percent(best.probability)} to {quoted(best.token)}"
    if best.is_found:
        text = (
            f"Rehearsal found: {where} {lens} already {gives}, a later token of the answer (rank "
            f"{best.rank + 1}). {best.cells:,} of {cells:,} layer × template-token cells "
            f"{'passes' if best.cells == 1 else 'pass'} the threshold."
        )
    else:
        tokens = count(int(is_read.any(0).sum()), "template token")
        text = (
            f"No rehearsal found at {tokens}. The strongest candidate is {where}: {lens} {gives}, "
            f"a later token of the answer (rank {best.rank + 1:,})."
        )
    return Observation(
        name, text, name, best.probability, "probability", threshold, cells, best.is_found,
        "lens", best.entry, best.position,
    )  # fmt: skip


def _no_rehearsal(trace: Trace, is_read: np.ndarray) -> str:
    """Return why rehearsal was not measured; `is_read` [layer, template token]: by the lens."""
    if trace.dummy_positions().size == 0:
        return "the prompt has no template token after its last word"
    if "rehearsal" not in trace:
        return "the trace has no logit lens"
    if not is_read.any():
        return "the lens did not read the template tokens"
    if trace.attrs.get("reasoning") and not trace.attrs.get("answer"):
        return "the answer ends within its reasoning, which is not looked for"
    return "the answer has no word to look for"


def _settled(trace: Trace) -> Observation | None:
    """Return from which layer on the lens's top token at the prompt's end is the model's."""
    if "lens_rank" not in trace or trace.site != "residual":
        return None
    position = trace.prompt_tokens - 1
    ranks = trace.lens("lens_rank")[:, position]
    is_read = np.isfinite(trace.lens("lens_entropy")[:, position])
    entries = np.flatnonzero((ranks >= 0) & is_read)
    if not entries.size or ranks[entries[-1]] != 0:
        return None
    others = entries[ranks[entries] != 0]  # another token is the lens's top one
    first = int(entries[entries > others[-1]][0]) if others.size else int(entries[0])
    token = quoted(trace.text_of([trace["target_ids"][position]])[0])
    entropy = float(trace.lens("lens_entropy")[first, position])
    where = f"from {layer_name(trace, first)} onward"
    if first == entries[0]:
        where = "at every layer read" if entries.size > 1 else f"at {layer_name(trace, first)}"
    elif first == entries[-1]:
        where = f"only at {layer_name(trace, first)}"
    has_answer = trace.dataset.sizes["position"] > position + 1
    last = "the prompt's last" if has_answer else "the last"
    text = (
        f"At {last} position the lens's top token is the model's prediction {token} {where} "
        f"({count(int(entries.size), 'layer')} read; lens entropy {entropy:.2f} nats at "
        f"{layer_name(trace, first)})."
    )
    return Observation(
        "settled", text, "lens_rank", 0.0, "rank", 0.0, int(entries.size), True, "lens", first,
        position,
    )  # fmt: skip


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
        f"Mean lens entropy{_of_site(trace)} {extremes(trace, rows, means, ' nats', 2)}, over "
        f"{count(n, 'position')}."
    )
    return Observation("lens_layers", text, "lens_entropy", float(means.min()), n=n, layer=low)
