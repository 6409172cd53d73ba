"""What the cell of a notebook shows of a trace: one chart per view, or the means of some layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.report.compare.difference import Difference
from attentropy.report.content.profile_words import Chart
from attentropy.report.read import views

_ROWS = 12  # of the table that stands where charts cannot be drawn
_TITLES = {"lens": "Logit-lens entropy", "attention": "Attention entropy, mean over heads"}
_COLUMNS = {"lens": "lens_entropy", "attention": "entropy"}


@dataclass(frozen=True)
class CellChart:
    """A view's heatmap; `colours` says which value has which colour."""

    title: str
    chart: Chart
    colours: str


@dataclass(frozen=True)
class LayerEntropies:
    """Mean entropies of one layer in nats, one per view; NaN where a view has none."""

    layer: int
    means: list[float]


def cell_charts(trace: Trace) -> list[CellChart]:
    """Return the heatmap of each view.

    Raises `ImportError` where Altair is not installed, `TraceError` for a trace without entropies.
    """
    from attentropy.report.figures import heatmap_data as cells
    from attentropy.report.figures.heatmap import heatmap
    from attentropy.report.figures.placement import box_caption, place
    from attentropy.report.figures.sizes import small

    rows = [str(int(layer)) for layer in trace["layer"]]
    size = small(len(rows))
    placed = place(trace, size.columns)
    charts = []
    for name in views.view_names(trace):
        at = replace(placed, caption=box_caption(name, placed))
        view = views.read_view(trace, name)
        data = cells.datasets(trace, size, at, view, rows)
        chart = heatmap(size, cells.state(trace, size, at, view), data)
        is_difference = isinstance(trace, Difference)
        title = _TITLES[name] + (", B − A" if is_difference else "")
        missing = "grey a token of one side alone" if is_difference else "grey missing"
        charts.append(CellChart(title, chart, f"{view.scale.words()}, {missing}"))
    return charts


def layer_entropies(trace: Trace, names: Sequence[str]) -> list[LayerEntropies]:
    """Return the mean entropies of at most 12 layers, the last layer first."""
    layers = [int(layer) for layer in trace["layer"]]
    rows = np.unique(np.linspace(0, len(layers) - 1, min(_ROWS, len(layers))).round().astype(int))
    values = {
        name: trace.lens(_COLUMNS[name]) if name == "lens" else trace[_COLUMNS[name]]
        for name in names
    }
    return [
        LayerEntropies(layers[row], [_mean(values[name][row]) for name in names])
        for row in rows[::-1].tolist()
    ]


def _mean(values: np.ndarray) -> float:
    """Return the mean of all finite values; NaN where there is none."""
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if finite.size else float("nan")
