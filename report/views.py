"""The two readings of a trace: which values the figure shows, in which range, with which texts."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from attentropy.engine.errors import TraceError
from attentropy.engine.trace import Trace
from attentropy.report.labels import short


@dataclass(frozen=True)
class View:
    """`values` [layers, N] in nats from 0 to `high`, NaN where missing; `texts` of the cells."""

    name: str
    values: np.ndarray
    texts: list[list[str]]
    high: float


def names(trace: Trace) -> list[str]:
    """The views that the trace has values for, the first one opens: "lens", "attention".

    Raises `TraceError` where there is none.
    """
    found = {"lens": "lens_entropy", "attention": "entropy"}
    present = [name for name, variable in found.items() if variable in trace]
    if not present:
        raise TraceError("the trace holds no entropies: there is nothing to show")
    return present


def high(trace: Trace, name: str) -> float:
    """Upper end of a view's scale in nats: min(10, ln V), or ln of the most visible keys."""
    if name == "lens":
        size = trace.attrs.get("model", {}).get("vocabulary")
        return min(10.0, math.log(size)) if isinstance(size, int) and size > 1 else 10.0
    most = int(trace["visible"].max()) if "visible" in trace and trace["visible"].size else 0
    return math.log(most) if most > 1 else 1.0


def first(trace: Trace) -> View:
    """The view that opens: the lens where it was read, else attention."""
    return view(trace, names(trace)[0])


def view(trace: Trace, name: str) -> View:
    """One of `names`: the lens's residual site, or attention, the mean over heads."""
    values, texts = _lens(trace) if name == "lens" else _attention(trace)
    return View(name, values, texts, high(trace, name))


def _lens(trace: Trace) -> tuple[np.ndarray, list[list[str]]]:
    ids = trace.lens("lens_top_ids")[..., 0]
    unique = np.unique(ids)
    known = {int(i): text for i, text in zip(unique, trace.text_of(unique), strict=True)}
    texts = [[short(known[int(i)], 8) if i >= 0 else "" for i in row] for row in ids]
    return trace.lens("lens_entropy"), texts


def _attention(trace: Trace) -> tuple[np.ndarray, list[list[str]]]:
    entropy = trace["entropy"]
    counted = np.isfinite(entropy).sum(1)
    values = np.where(counted > 0, np.nansum(entropy, axis=1) / np.maximum(counted, 1), np.nan)
    texts = [[""] * values.shape[1] for _ in range(values.shape[0])]
    if "top_key" in trace:
        for layer, keys in enumerate(trace["top_key"]):  # [head, query]
            for query in range(keys.shape[1]):
                seen = keys[:, query][keys[:, query] >= 0]
                if seen.size:  # the key that most heads attend to most; ties to the lower
                    texts[layer][query] = short(trace.tokens[np.bincount(seen).argmax()], 8)
    return values, texts
