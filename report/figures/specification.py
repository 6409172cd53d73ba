"""Vega-Lite specifications: their types, and what the specifications of all figures share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

VegaLite = dict[str, Any]
"""A Vega-Lite specification, or a part of one, as JSON."""

Row = dict[str, Any]
"""One record of a dataset: the value of each field."""

Rows = list[Row]
"""One dataset of a specification."""

Channels = dict[str, Any]
"""Keyword arguments of an Altair mark, axis or encoding."""

Datasets = Mapping[str, Sequence[Mapping[str, Any]]]
"""The datasets of a specification by name."""

Parameters = Mapping[str, Any]
"""The first values of a specification's parameters by name."""

FONT = "system-ui, -apple-system, 'Segoe UI', 'Noto Sans', 'DejaVu Sans', sans-serif"


# An axis label (expression) for a share: 25 %.
PERCENT_LABEL = "format(100 * datum.value, '~g') + '\u00a0%'"


def specification(
    views: VegaLite, parameters: Parameters, datasets: Datasets, padding: Mapping[str, int]
) -> VegaLite:
    """Return the whole specification: `views` with parameters, datasets and configuration."""
    return {
        "$schema": alt.SCHEMA_URL,
        **views,
        "params": [{"name": name, "value": value} for name, value in parameters.items()],
        "datasets": {name: list(rows) for name, rows in datasets.items()},
        "padding": dict(padding),
        "config": {
            "font": FONT,
            "aria": False,
            "background": {"expr": "paper"},
            "view": {"stroke": None},
        },
    }


def view(mark: alt.Chart, **more: Any) -> VegaLite:
    """Return the specification of a view with one mark, and `more` of it, such as its size.

    Marks and views are joined as specifications, not as Altair charts: Altair copies the whole
    content of a chart whenever the chart is added to another one or changed, which takes seconds.
    """
    spec: VegaLite = mark.to_dict(validate=False, context={"top_level": False})
    return spec | more


def layer(*marks: alt.Chart | VegaLite, **more: Any) -> VegaLite:
    """Return the specification of a view with several layers, the lowest first, and `more` of it.

    Each layer is a mark or a specification.
    """
    return {"layer": [m if isinstance(m, dict) else view(m) for m in marks], **more}


def axis_style(**more: Any) -> Channels:
    """Return the arguments of an axis in the colours of the page, and `more` of them."""
    ink = alt.ExprRef("ink")
    return {
        "labelColor": ink, "titleColor": ink, "tickColor": ink, "domainColor": ink,
        "gridColor": ink, "gridOpacity": 0.12, "titleFontWeight": "normal", "titleFontSize": 11,
        **more,
    }  # fmt: skip


def ramp_rows(fills: Sequence[str], axis: str = "y") -> Rows:
    """Return the rows of a legend's colours, from low to high along `axis`.

    Each step reaches a little into the next one, so that no seam shows between them.
    """
    steps = len(fills)
    return [
        {f"{axis}0": i / steps, f"{axis}1": min(1, (i + 1.3) / steps), "fill": fill}
        for i, fill in enumerate(fills)
    ]
