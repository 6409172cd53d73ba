"""The two readings of a trace: which values the figure shows, in which range, with which texts."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from attentropy.engine.errors import TraceError
from attentropy.engine.trace.dataset import Trace
from attentropy.report import planes
from attentropy.report.compare.difference import Difference
from attentropy.report.scale import Scale
from attentropy.report.text import pair, short

_MOST_APART = 1024
SCALE_PERCENTILE = 99.5  # of |B − A|, where a difference's scale ends


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

    @property
    def what(self) -> str:
        """What the caption calls the values."""
        return "logit-lens entropy" if self.name == "lens" else "attention entropy"

    def texts(self, start: int, stop: int, letters: int = 8) -> list[list[str]]:
        """What the cells of these positions say, one list a layer, cut to `letters`."""
        if isinstance(self.trace, Difference):
            return _of_both(self.trace, self.name, slice(start, stop), letters)
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


def of_site(site: str) -> str:
    """What a caption says of the lens's site; nothing of the residual stream."""
    return "" if site == "residual" else f" of the {site} block's output alone"


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
    if isinstance(trace, Difference):
        size = max(planes.step(values.shape[1]), _step(values[:, trace.both]))
        return View(name, values, _difference_scale(values), size, trace, "B − A (nats)")
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


def _difference_scale(values: np.ndarray) -> Scale:
    """About zero, to where all but one value in 200 end; one nat where there is no difference."""
    sizes = np.abs(values[np.isfinite(values)])
    end = float(np.percentile(sizes, SCALE_PERCENTILE)) if sizes.size else 0.0
    end = max(0.01, math.ceil(100 * end) / 100) if sizes.any() else 1.0
    return Scale(-end, end, "nats", 2, "diverging")


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
    if "top_key" not in trace:
        return [[""] * len(range(sizes["query"])[span]) for _ in range(sizes["layer"])]
    tokens = trace.tokens
    return [
        [short(tokens[key], letters) if 0 <= key < len(tokens) else "" for key in row]
        for row in _voted(trace.dataset["top_key"][..., span].values)
    ]


def _voted(keys: np.ndarray) -> list[list[int]]:
    """Of keys [layer, head, query] the one that most heads say, -1 where none says any."""
    rows = []
    for layer in keys:
        row = []
        for said in layer.T:
            found, votes = np.unique(said[said >= 0], return_counts=True)
            row.append(int(found[votes.argmax()]) if found.size else -1)
        rows.append(row)
    return rows


def _of_both(of: Difference, name: str, span: slice, letters: int) -> list[list[str]]:
    """What cells say of both sides in one line."""
    return [[pair(*said, letters) if said else "" for said in row] for row in both(of, name, span)]


def both(of: Difference, name: str, span: slice) -> list[list[tuple[str, str] | None]]:
    """The likeliest, or most attended, tokens of A and of B, one list a layer; None where a side
    has no token."""
    if name == "lens":
        ids = of.lens("lens_top_ids", span)
        unique = np.unique(ids)
        known = dict(zip(unique.tolist(), of.text_of(unique), strict=True))
    elif "top_key" in of:
        sides = [_voted(of.of_side("top_key", side)[..., span].values) for side in (0, 1)]
        ids, known = np.stack(sides, -1), dict(enumerate(of.tokens))
    else:
        return [[None] * len(range(of.kind.size)[span]) for _ in range(of.dataset.sizes["layer"])]
    return [
        [(known[a], known[b]) if min(a, b) >= 0 else None for a, b in row] for row in ids.tolist()
    ]
