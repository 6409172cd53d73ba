"""Heads of the model: what single heads do, as facts of the model and not of the prompt.

One line each, for one box of the page. They are no findings: most prompts give nearly the same
heads. Only induction heads are measured apart from the prompt, the others on it.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from attentropy.engine.maps.head_scores import LOCAL_KEYS, SCORES
from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.sink_keys import sink_keys
from attentropy.report import planes
from attentropy.report.findings.finding import head_label, head_labels
from attentropy.report.units import count, number_against, percent

_NAMED = 8  # heads in one line
LISTED = 0.3  # from here on a head is listed where no threshold is agreed on
IDLE_WEIGHT, IDLE_QUERIES = 0.9, 0.9
IDLE_KEYS = 16  # some query has to see as many: a short row gives its first key much anyway

_TIMES_UNIFORM = 2  # a short row gives the token before it much anyway

# Score, its name in the box, and what is compared.
_KINDS = (
    ("previous", "Previous token", "on this prompt: mean attention on the token before"),
    ("induction", "Induction", "on repeated random tokens"),
    ("local", "Local", f"on this prompt: attention on the last {LOCAL_KEYS} keys"),
)
_IDLE = (
    "on this prompt: share of queries with more than "
    f"{percent(IDLE_WEIGHT)} of their attention on one sink key"
)


@dataclass(frozen=True)
class HeadFact:
    """One line about the heads of the model.

    `name` is the kind, `rule` what was compared with `limit`, `text` the heads above it; `heads`
    are these with their values, the strongest first, of `n` heads that were measured.
    """

    id: str
    name: str
    rule: str
    text: str
    limit: float
    n: int
    heads: tuple[tuple[str, float], ...]

    def to_json(self) -> dict[str, Any]:
        """Return the fields for `--json`."""
        return asdict(self)


def model_heads(trace: Trace) -> list[HeadFact]:
    """Return a line for each kind of head that was measured."""
    facts = []
    for name, title, what in _KINDS:
        variable = f"head_{name}"
        if variable in trace and np.isfinite(trace[variable]).any():
            values = np.where(np.isfinite(trace[variable]), trace[variable], np.nan)
            numbers = trace["score_head"] if "score_head" in trace else np.arange(values.shape[1])
            facts.append(_fact(trace, name, title, what, values, head_limit(trace, name), numbers))
    idle = idle_shares(trace)
    if idle is not None and np.isfinite(idle).any():
        facts.append(_fact(trace, "idle", "Idle", _IDLE, idle, IDLE_QUERIES, trace["head"]))
    return facts


def head_limit(trace: Trace, name: str) -> float:
    """Return the value above which a head is listed: more than a uniform row gives."""
    threshold = SCORES[name].threshold
    if threshold is not None:
        return threshold
    values = trace[f"uniform_{name}"] if f"uniform_{name}" in trace else np.array([])
    uniform = values[np.isfinite(values)]
    if not uniform.size:
        return LISTED
    least = _TIMES_UNIFORM * float(uniform.mean())
    return max(LISTED, math.ceil(100 * least) / 100)  # as it is written


def _fact(
    trace: Trace,
    id: str,
    name: str,
    what: str,
    values: np.ndarray,
    limit: float,
    numbers: np.ndarray,
) -> HeadFact:
    """Return one line: the heads above `limit`, or the highest one where there is none."""
    n = int(np.isfinite(values).sum())
    cells = np.argwhere(np.nan_to_num(values, nan=-1.0) > limit)
    cells = cells[np.argsort(-values[tuple(cells.T)], kind="stable")]
    shares = values[tuple(cells.T)].astype(np.float64).round(4).tolist()
    labels = head_labels(trace, [(a, int(numbers[b])) for a, b in cells.tolist()])
    heads = tuple(zip(labels, shares, strict=True))
    if heads:
        listed = ", ".join(
            f"{head} ({number_against(value, limit)})" for head, value in heads[:_NAMED]
        )
        rest = f" and {len(heads) - _NAMED:,} more" if len(heads) > _NAMED else ""
        text = f"{listed}{rest}; {len(heads):,} of {count(n, 'head')}."
    else:
        entry, head = best = divmod(int(np.nanargmax(values)), values.shape[1])
        highest = number_against(float(values[best]), limit)
        label = head_label(trace, entry, int(numbers[head]))
        text = f"none of {count(n, 'head')}; highest: {label} ({highest})."
    return HeadFact(id, name, f"{what}, above {limit:g}", text, limit, n, heads)


def idle_shares(trace: Trace) -> np.ndarray | None:
    """Return the share of each head's queries that put more than 0.9 on a sink key, [layer, head].

    Over the prompt's queries that see two keys or more; exact, since the largest weight is the only
    one that can be so large. None where the trace does not have the largest weights and their keys,
    or the prompt is too short.
    """
    needed = ("max_prob", "top_key", "visible", "head")
    sinks = sink_keys(trace)
    if sinks is None or any(name not in trace for name in needed):
        return None
    prompt = trace.prompt_tokens
    visible = trace["visible"][:, :prompt]
    if visible.max(initial=0) < IDLE_KEYS:
        return None
    shares = np.full(trace.dataset["max_prob"].shape[:2], np.nan)
    for entry in range(len(shares)):
        weights = planes.read_layer(trace, "max_prob", entry)[:, :prompt]
        counted = np.isfinite(weights) & (visible[entry] >= 2)
        n = counted.sum(-1)
        idle = np.zeros_like(n)
        if sinks.is_sink[entry].any():
            keys = trace.dataset["top_key"][entry].values[:, :prompt]
            on_sink = (keys >= 0) & sinks.is_sink[entry][np.clip(keys, 0, prompt - 1)]
            idle = (counted & on_sink & (weights > IDLE_WEIGHT)).sum(-1)
        shares[entry] = np.where(n > 0, idle / np.maximum(n, 1), np.nan)
    return shares
