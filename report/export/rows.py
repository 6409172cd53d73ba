"""What the rows of the lens's or of attention's figure are: of which statistic, site and heads."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.report import planes
from attentropy.report.export.choices import Asked, head_of
from attentropy.report.read import statistics, views
from attentropy.report.read.statistics import Statistic
from attentropy.report.read.views import View
from attentropy.report.text import short


@dataclass(frozen=True)
class Heads(View):
    """Attention of single heads: `cells` are the (entry, head) of each row."""

    cells: tuple[tuple[int, int], ...] = ()

    def texts(self, start: int, stop: int, letters: int = 8) -> list[list[str]]:
        """The most attended token of every cell, cut to `letters`."""
        if "top_key" not in self.trace:
            return [[""] * (stop - start) for _ in self.cells]
        tokens, keys = self.trace["token_text"], self.trace.dataset["top_key"]
        return [
            [
                short(str(tokens[key]), letters) if key >= 0 else ""
                for key in keys[entry, head, start:stop].values.tolist()
            ]
            for entry, head in self.cells
        ]


@dataclass(frozen=True)
class Rows:
    """`view` has the values, `what` the words for them, `column` their heading in a table; `labels`
    are the rows' names, `title` what a row is, `cells` each one's layer and head's name; `plain`
    where nobody chose a statistic or a site: what the page opens with."""

    view: View
    what: str
    column: str
    labels: list[str]
    title: str
    cells: list[tuple[int, int | None]]
    plain: bool


def rows_of(trace: Trace, asked: Asked) -> Rows:
    """The rows of the figure `lens` or `attention`.

    Raises `UsageError` for a head that the trace does not hold.
    """
    made = _lens(trace, asked) if asked.figure == "lens" else _attention(trace, asked)
    chosen = next((s for s in statistics.held(trace, asked.figure) if s.name == asked.stat), None)
    if chosen is None:  # entropy
        return made
    view = replace(made.view, scale=chosen.scale, title=chosen.title)
    where = made.what.removeprefix(made.view.what)
    return replace(made, view=view, what=chosen.what + where, column=_column(chosen), plain=False)


def _column(of: Statistic) -> str:
    """The heading of its values in a table."""
    share = "share, 0 to 1" if (of.scale.low, of.scale.high) == (0.0, 1.0) else ""
    unit = of.scale.unit or share
    return f"{of.label} ({unit})" if unit else of.label


def _layers(trace: Trace) -> list[str]:
    return [str(int(layer)) for layer in trace["layer"]]


def _lens(trace: Trace, asked: Asked) -> Rows:
    """Of one site: everything that is read and said is read off a trace that has no other."""
    site = asked.site or trace.site
    view = views.view(trace, "lens")
    if site != trace.site:
        at = trace.sites.index(site)
        view = replace(view, trace=Trace(trace.dataset.isel(site=[at])))
    view = replace(view, values=statistics.of_lens(trace, asked.stat, site))
    layers = _layers(trace)
    what = view.what + views.of_site(site)
    cells: list[tuple[int, int | None]] = [(entry, None) for entry in range(len(layers))]
    return Rows(view, what, "entropy (nats)", layers, "layer", cells, site == trace.site)


def _attention(trace: Trace, asked: Asked) -> Rows:
    layers, names = _layers(trace), trace["head"]
    head = head_of(names, asked.head)
    values, at, labels, title = _of_heads(trace, asked, head, layers)
    scale, step = views.scale(trace, "attention"), planes.step(values.shape[1])
    cells: list[tuple[int, int | None]]
    if at:
        view: View = Heads("attention", values, scale, step, trace, cells=tuple(at))
        cells = [(entry, int(names[h])) for entry, h in at]
    else:
        view = View("attention", values, scale, step, trace)
        cells = [(entry, None) for entry in range(len(layers))]
    return Rows(view, view.what, "entropy (nats)", labels, title, cells, True)


def _of_heads(
    trace: Trace, asked: Asked, head: int | None, layers: list[str]
) -> tuple[np.ndarray, list[tuple[int, int]], list[str], str]:
    """Values, the (entry, head) of each row (none: means over heads), labels and title."""
    if head is not None:
        at = [(entry, head) for entry in range(len(layers))]
        found = [planes.layer(trace, asked.stat, entry, head) for entry, _ in at]
        return np.stack(found).astype(np.float32), at, layers, "layer"
    if asked.layer is not None:
        names, entry = trace["head"], asked.layer
        count = min(int(trace["heads"][entry]), len(names)) if "heads" in trace else len(names)
        values = planes.layer(trace, asked.stat, entry, slice(count)).astype(np.float32)
        labels = [head_name(int(name)) for name in names[:count]]
        return values, [(entry, h) for h in range(count)], labels, f"head of layer {layers[entry]}"
    return planes.averages(trace, asked.stat).mean, [], layers, "layer"


def head_name(head: int) -> str:
    """A head's number in words; −1 stands for the mean."""
    return "mean" if head < 0 else str(head)
