"""The two views of a trace, the lens's and attention's: values, scale and texts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import singledispatch

import numpy as np

from attentropy.engine.errors import TraceError
from attentropy.engine.trace.dataset import Trace
from attentropy.report import planes
from attentropy.report.compare.difference import Difference
from attentropy.report.read.cells import CellText, cells_of
from attentropy.report.read.ranges import Ends
from attentropy.report.read.readability import UNREADABLE, Readability, readability
from attentropy.report.scale import Scale

_MOST_POSITIONS = 1024  # per column
# Words for entropies of zero, and for the largest ones.
ENTROPY_ENDS = {
    "lens": ("certain", "any token alike"),
    "attention": ("one key", "all keys alike"),
}
SCALE_PERCENTILE = 99.5  # of |B − A|, where a difference's scale ends


@dataclass(frozen=True)
class View:
    """Values of a trace that a figure shows, with their scale and the texts of their cells.

    `values` are [layers, N], NaN where missing, coloured on `scale`, whose legend is called
    `title`. `step` positions share a column of the overview. `readability` says how far the lens
    can be read at each layer; None for attention, and where it is not measured.
    """

    name: str
    values: np.ndarray
    scale: Scale
    step: int
    trace: Trace
    title: str = "Entropy (nats)"
    readability: Readability | None = None

    @property
    def what(self) -> str:
        """The caption's words for the values."""
        return "logit-lens entropy" if self.name == "lens" else "attention entropy"

    def column_title(self, *, is_narrow: bool) -> str:
        """Return what a column of the figure is called, shorter where the figure is narrow."""
        return cells_of(self.trace).column_title(is_narrow=is_narrow)

    def texts(self, start: int, stop: int, letters: int = 8) -> list[list[str]]:
        """Return the cells' texts at these positions, cut to `letters`: one list per layer."""
        return cells_of(self.trace).texts(self.name, slice(start, stop), letters)

    def inset_texts(
        self, column: int, letters: int, *, has_two_lines: bool
    ) -> Sequence[Sequence[CellText]]:
        """Return the texts of one magnified column: one text per layer, each in a list of its own.

        Only a difference has texts of two lines, where the cells have room for them.
        """
        cells = cells_of(self.trace)
        return cells.inset_texts(self, column, letters, has_two_lines=has_two_lines)


def view_names(trace: Trace) -> list[str]:
    """Return which of "lens" and "attention" the trace has values for; the first one opens.

    Raises `TraceError` where there is none.
    """
    variables = {"lens": "lens_entropy", "attention": "entropy"}
    present = [name for name, variable in variables.items() if variable in trace]
    if not present:
        raise TraceError("the trace has no entropies, so there is nothing to show")
    return present


TRANSLATED_NOTE = "predicts the next token; cannot show rehearsal"
_BLOCKS = {"attention": "attention block's", "mlp": "MLP block's"}


def site_words(site: str) -> str:
    """Return the caption's words for the lens's site; none for the residual stream."""
    if site == "translated":
        return f" (translated lens: {TRANSLATED_NOTE})"
    return "" if site == "residual" else f" of the {_BLOCKS.get(site, site)} output alone"


def scale_end(trace: Trace, name: str) -> float:
    """Return the largest value that a view's entropies can have, in nats.

    That is ln V for the lens, and ln of the largest number of visible keys for attention. Where the
    trace does not say V, it is the largest value of the trace.
    """
    if name == "lens":
        size = trace.attrs.get("model", {}).get("vocabulary")
        if isinstance(size, int) and size > 1:
            return math.log(size)
        return largest(trace["lens_entropy"]) or 1.0
    keys = int(trace["visible"].max()) if "visible" in trace and trace["visible"].size else 0
    return math.log(keys) if keys > 1 else 1.0


def largest(values: np.ndarray) -> float:
    """Return the largest finite value; 0 where there is none."""
    return float(values[np.isfinite(values)].max(initial=0.0))


def fitted(view: View) -> View:
    """Return the view on the scale that the page of one trace opens with.

    That is the fitted one where it leaves out more than a quarter of the range.
    """
    scale = closest_scale(view)
    if scale is None or not view.scale.leaves_out_much(scale):
        return view
    return replace(view, scale=scale)


def closest_scale(view: View) -> Scale | None:
    """Return the scale fitted to the values shown; None where it is the whole one.

    Rows whose lens cannot be read have no colour of a value, so they do not count. A single head
    can have a larger entropy than the mean over heads, which is what opens.
    """
    if view.scale.kind == "diverging" or not view.scale.fits:
        return None
    kinds = view.readability.kinds if view.readability is not None else []
    rows = [row for row in range(len(view.values)) if not kinds or kinds[row] != UNREADABLE]
    scale = view.scale.fit(largest(view.values[rows]))
    if scale == view.scale:
        return None
    is_cut = view.name == "attention" or largest(view.values) > scale.high
    return replace(scale, cuts_high=is_cut)


def entropy_scale(trace: Trace, name: str, ends: Ends | None = None) -> Scale:
    """Return the scale of a view's entropies: from 0 nats, or with fixed `ends`."""
    scale = Scale(0.0, scale_end(trace, name), "nats", ends=ENTROPY_ENDS[name])
    return scale.between(*ends) if ends else scale


@singledispatch
def read_view(
    trace: Trace,
    name: str,
    attention: planes.AttentionPlanes | None = None,
    ends: Ends | None = None,
) -> View:
    """Return one of `names`: the lens's residual site, or attention, the mean over heads.

    With `attention` the entropies of all heads are not read again; `ends` fixes the scale's.
    """
    values = _entropies(trace, name, attention)
    scale, lens = entropy_scale(trace, name, ends), _readability(trace, name)
    return View(name, values, scale, _step(values), trace, readability=lens)


@read_view.register
def _(
    trace: Difference,
    name: str,
    attention: planes.AttentionPlanes | None = None,
    ends: Ends | None = None,
) -> View:
    values = _entropies(trace, name, attention)
    size = max(planes.tile_size(values.shape[1]), _step(values[:, trace.both]))
    scale, lens = difference_scale(values, ends), _readability(trace, name)
    return View(name, values, scale, size, trace, "B − A (nats)", lens)


def _readability(trace: Trace, name: str) -> Readability | None:
    """Return how far the lens can be read at the site that opens; None for attention."""
    return readability(trace, trace.site) if name == "lens" else None


def _entropies(trace: Trace, name: str, attention: planes.AttentionPlanes | None) -> np.ndarray:
    """Return a view's entropies, [layer, position]."""
    if name == "lens":
        return trace.lens("lens_entropy").astype(np.float32, copy=False)
    attention = attention or planes.read_attention(trace)
    assert attention is not None  # `names` lists attention only where there is some
    return attention.mean


def _step(values: np.ndarray) -> int:
    """Return the positions per column: as few as the overview has room for.

    A lens that read a sample of a long prompt needs as many as lie between two samples, so that
    every column has something to show.
    """
    size = planes.tile_size(values.shape[1])
    if size > 1:
        gaps = np.diff(np.flatnonzero(np.isfinite(values).any(0)))
        while (gaps > 1).any() and size < np.median(gaps[gaps > 1]) and size < _MOST_POSITIONS:
            size *= 2
    return size


def difference_scale(values: np.ndarray, ends: Ends | None = None) -> Scale:
    """Return a scale about zero that all but one value in 200 lie on, or with fixed `ends`.

    Where there is no difference it ends at one nat.
    """
    sizes = np.abs(values[np.isfinite(values)])
    most = largest(sizes)
    complete = Scale(-most, most, "nats", 2, "diverging", ends=("B more certain", "A more certain"))
    if ends:
        return complete.between(*ends)
    if not most:
        return complete.between(-1.0, 1.0)
    end = max(0.01, math.ceil(100 * float(np.percentile(sizes, SCALE_PERCENTILE))) / 100)
    return replace(complete.between(-end, end), fitted=True)
