"""A trace or a difference in the cell of a notebook: still pictures in HTML without scripts or ids.

The pictures are images of their own, so several of them on one page share no name.
"""

from __future__ import annotations

from html import escape

import numpy as np

from attentropy.engine.errors import TraceError
from attentropy.engine.trace.dataset import Trace
from attentropy.report.content.cell import cell_charts, layer_entropies
from attentropy.report.read import views


def render(trace: Trace) -> str:
    """Return a fragment of HTML: the pictures, or a short table of means without Altair.

    A trace without entropies gives one line.
    """
    try:
        names = views.view_names(trace)
    except TraceError as error:
        return f"<pre>{escape(repr(trace))}\n{escape(str(error))}</pre>"
    try:
        return _pictures(trace)
    except ImportError:
        return f"<pre>{escape(_table(trace, names))}</pre>"


def _pictures(trace: Trace) -> str:
    """Return the pictures of all views."""
    charts = cell_charts(trace)
    from attentropy.report.page.document import draw_still, templates

    pictures = []
    for cell in charts:
        still = draw_still(cell.chart)
        pictures.append(
            {
                "title": cell.title,
                "light": still.light,
                "dark": still.dark,
                "width": still.width,
                "colours": cell.colours,
            }
        )
    context = {"summary": repr(trace).strip("<>"), "pictures": pictures}
    return templates().get_template("notebook.html.j2").render(context)


def _table(trace: Trace, names: list[str]) -> str:
    """Return the mean entropy of some layers, and how to get the pictures."""
    lines = [repr(trace), "mean in nats", "layer" + "".join(f"{n:>12}" for n in names)]
    for row in layer_entropies(trace, names):
        means = (
            f"{mean:>12.2f}" if np.isfinite(mean) else f"{'missing':>12}" for mean in row.means
        )
        lines.append(f"{row.layer:>5}" + "".join(means))
    return "\n".join(
        [*lines, "To see the figure, install Altair: pip install altair vl-convert-python"]
    )
