"""A trace in, one HTML file out: no network, no inline handler, every token escaped."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from markupsafe import Markup

from attentropy.engine.trace import Trace
from attentropy.report import palette, views
from attentropy.report.document import environment, in_the_dark, policy, source, still
from attentropy.report.figures import cells
from attentropy.report.figures.heatmap import heatmap
from attentropy.report.figures.placement import place
from attentropy.report.figures.sizes import narrow, wide
from attentropy.report.figures.tokenmap import first_map
from attentropy.report.observations import Observation
from attentropy.report.payload import payload
from attentropy.report.profile import section
from attentropy.report.words import SHADES, captions, words


def render(trace: Trace, observations: Sequence[Observation]) -> str:
    """The report as one HTML document; the same trace and version give the same bytes.

    Raises `TraceError` for a trace that holds neither attention nor lens entropies.
    """
    shown, first = views.names(trace), views.first(trace)
    rows = [str(int(layer)) for layer in trace["layer"]]
    sizes = {"wide": wide(len(rows)), "narrow": narrow(len(rows))}
    charts = {}
    for name, size in sizes.items():
        placed = place(trace, size.columns)
        data = cells.datasets(trace, size, placed, first, rows)
        charts[name] = heatmap(size, cells.state(trace, size, placed, len(rows)), data).to_dict()
    placed = place(trace, sizes["wide"].columns)
    has_map = "window" in trace and trace.dataset.sizes["window_query"] > 1
    token_map = first_map(trace, placed.column) if has_map else None

    below = captions(trace, placed, shown)
    values = payload(trace, observations, shown, rows, sizes, placed)
    values |= {
        "captions": below,
        "specs": {name: _vega(chart) for name, chart in charts.items()},
        "mapSpec": _vega(token_map) if token_map else None,
    }
    picture, picture_width = still(charts["wide"])
    still_map, still_map_width = still(token_map) if token_map else ("", 0)
    script, style = _script(), source("page.css") + _shade_classes()
    error = max((packed["error"] for packed in values["packed"].values()), default=0.0)
    context = words(trace, observations, placed, first, rows) | {
        "policy": policy(style, script),
        "script": Markup(script),  # our own code and the bundled library, nothing of the trace
        "style": Markup(style),
        "payload": values,
        "captions": below,
        "views": shown,
        "layers": rows,
        "heads": trace.dataset.sizes.get("head", 0),
        "has_map": has_map,
        "profile": section(trace),
        "map_per_head": has_map and "window_entropy" not in trace,
        "still": picture,
        "still_width": picture_width,
        "still_dark": still(in_the_dark(charts["wide"]))[0],
        "still_map": still_map,
        "still_map_width": still_map_width,
        "precision": (
            "Values are exact." if error == 0 else f"Values are within {error:.1g} of the trace's."
        ),
    }
    return environment().get_template("page.html.j2").render(context) + "\n"


@lru_cache(maxsize=1)
def _script() -> str:
    """The bundled Vega and the page's own script, in one function that leaks no name."""
    import vl_convert

    bundle = vl_convert.javascript_bundle()  # type: ignore[call-arg]
    taken = "".join(f"delete window.{name};" for name in ("vegaEmbed", "vega", "vegaLite"))
    script = (
        f"((run)=>{{(()=>{{{bundle}\n}})();const embed=window.vegaEmbed;{taken}run(embed);}})"
        f"((vegaEmbed)=>{{{source('page.js')}}});"
    )
    if "</script" in script.lower() or "<!--" in script:
        raise RuntimeError("the script would end its own element")
    return script


def _vega(chart: dict[str, Any]) -> dict[str, Any]:
    import vl_convert

    spec: dict[str, Any] = vl_convert.vegalite_to_vega(chart)
    return spec


def _shade_classes() -> str:
    """A class for each step of the scale, so that tokens have colour without inline styles."""
    steps = palette.colors((np.arange(SHADES) + 0.5) / SHADES, 0, 1)
    fills, inks = palette.hexes(steps), palette.inks(steps)
    return "".join(
        f".s{i}{{background:{fill};color:{ink}}}"
        for i, (fill, ink) in enumerate(zip(fills, inks, strict=True))
    )
