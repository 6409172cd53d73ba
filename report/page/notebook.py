"""What a notebook shows of a trace: each view as a still picture, in HTML without scripts or ids.

The pictures are images of their own, so several of them on one page share no name.
"""

from __future__ import annotations

from dataclasses import replace
from html import escape

import numpy as np

from attentropy.engine.errors import TraceError
from attentropy.engine.trace.dataset import Trace
from attentropy.report.read import views

_ROWS = 12  # of the table that stands where the pictures cannot be drawn
_TITLES = {"lens": "Logit-lens entropy", "attention": "Attention entropy, mean over heads"}


def render(trace: Trace) -> str:
    """A fragment of HTML: the pictures, or a short table of means where Altair is not installed,
    or one line for a trace without entropies."""
    try:
        shown = views.names(trace)
    except TraceError as error:
        return f"<pre>{escape(repr(trace))}\n{escape(str(error))}</pre>"
    try:
        return _pictures(trace, shown)
    except ImportError:
        return f"<pre>{escape(_table(trace, shown))}</pre>"


def _pictures(trace: Trace, shown: list[str]) -> str:
    from attentropy.report.figures import heatmap_data as cells
    from attentropy.report.figures.heatmap import heatmap
    from attentropy.report.figures.placement import BOX, place
    from attentropy.report.figures.sizes import small
    from attentropy.report.page.document import environment, stills

    rows = [str(int(layer)) for layer in trace["layer"]]
    size = small(len(rows))
    placed = place(trace, size.columns)
    pictures = []
    for name in shown:
        at = placed if name == "lens" or not placed.caption else replace(placed, caption=BOX)
        data = cells.datasets(trace, size, at, views.view(trace, name), rows)
        chart = heatmap(size, cells.state(trace, size, at, len(rows)), data)
        still = stills(chart)
        pictures.append(
            {
                "title": _TITLES[name],
                "light": still.light,
                "dark": still.dark,
                "width": still.width,
                "high": f"{views.high(trace, name):.1f}",
            }
        )
    context = {"summary": repr(trace).strip("<>"), "pictures": pictures}
    return environment().get_template("notebook.html.j2").render(context)


def _table(trace: Trace, shown: list[str]) -> str:
    """The mean entropy of some layers, and how to get the pictures."""
    layers = [int(layer) for layer in trace["layer"]]
    few = np.unique(np.linspace(0, len(layers) - 1, min(_ROWS, len(layers))).round().astype(int))
    columns = {"lens": "lens_entropy", "attention": "entropy"}
    lines = [repr(trace), "mean entropy in nats", "layer" + "".join(f"{n:>12}" for n in shown)]
    for row in few[::-1]:
        line = f"{layers[row]:>5}"
        for name in shown:
            values = trace.lens(columns[name]) if name == "lens" else trace[columns[name]]
            finite = values[row][np.isfinite(values[row])]
            line += f"{finite.mean():>12.2f}" if finite.size else f"{'missing':>12}"
        lines.append(line)
    return "\n".join([*lines, "(for the pictures: pip install altair vl-convert-python)"])
