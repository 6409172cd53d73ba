"""The two readings of a trace: which values the figure shows, in which range, with which texts."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from attentropy.engine.errors import TraceError
from attentropy.engine.trace import Trace
from attentropy.report import planes
from attentropy.report.labels import short
from attentropy.report.scale import Scale

_MOST_APART = 1024


@dataclass(frozen=True)
class View:
    """`values` [layers, N], NaN where missing, coloured on `scale`, whose legend is called `title`;
    `step` positions share a column of the overview."""

    name: str
    values: np.ndarray
    scale: Scale
    step: int
    trace: Trace
    title: str = "Entropy (nats)"

    def texts(self, start: int, stop: int, letters: int = 8) -> list[list[str]]:
        """What the cells of these positions say, one list a layer, cut to `letters`."""
        say = _likeliest if self.name == "lens" else _most_attended
        return say(self.trace, slice(start, stop), letters)


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


def scale(trace: Trace, name: str) -> Scale:
    """On which a view's entropies are coloured, from 0 nats on."""
    return Scale(0.0, high(trace, name), "nats")


def view(trace: Trace, name: str, attention: planes.Attention | None = None) -> View:
    """One of `names`: the lens's residual site, or attention, the mean over heads.

    `attention` spares reading the entropies of all heads again.
    """
    if name == "lens":
        values = trace.lens("lens_entropy").astype(np.float32, copy=False)
    else:
        attention = attention or planes.attention(trace)
        assert attention is not None  # as `names` has it
        values = attention.mean
    return View(name, values, scale(trace, name), _step(values), trace)


def _step(values: np.ndarray) -> int:
    """Positions a column: as few as there is room for, and of a lens that read a sample of a long
    prompt as many as lie between two of them, so that every column has something to show."""
    size = planes.step(values.shape[1])
    if size > 1:
        apart = np.diff(np.flatnonzero(np.isfinite(values).any(0)))
        while (apart > 1).any() and size < np.median(apart[apart > 1]) and size < _MOST_APART:
            size *= 2
    return size


def _likeliest(trace: Trace, span: slice, letters: int) -> list[list[str]]:
    ids = trace.lens("lens_top_ids", span)[..., 0]
    unique = np.unique(ids)
    known = {
        int(i): short(text, letters) for i, text in zip(unique, trace.text_of(unique), strict=True)
    }
    return [[known[int(i)] if i >= 0 else "" for i in row] for row in ids]


def _most_attended(trace: Trace, span: slice, letters: int) -> list[list[str]]:
    """The key that most heads attend to most; ties go to the lower."""
    sizes = trace.dataset.sizes
    columns = len(range(sizes["query"])[span])
    texts = [[""] * columns for _ in range(sizes["layer"])]
    if "top_key" not in trace:
        return texts
    tokens = trace.tokens
    for layer, keys in enumerate(trace.dataset["top_key"][..., span].values):  # [head, query]
        for query in range(columns):
            seen = keys[:, query][keys[:, query] >= 0]
            if seen.size:
                found, votes = np.unique(seen, return_counts=True)
                texts[layer][query] = short(tokens[found[votes.argmax()]], letters)
    return texts
