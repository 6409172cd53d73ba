"""The marks that the figure is made of: tiles, rules, frames, words, on named datasets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

# Frame of the section, of the inset, of the dummy tokens, of what is pinned: parameters, since the
# dark page differs.
PURPLE, GREEN, BLUE, ORANGE = (alt.ExprRef(n) for n in ("purple", "green", "blue", "orange"))
Layers = alt.LayerChart | alt.FacetChart  # what Altair says that a layer of marks is
FONT = "system-ui, -apple-system, 'Segoe UI', 'Noto Sans', 'DejaVu Sans', sans-serif"


def finished(
    views: Mapping[str, Any],
    state: Mapping[str, Any],
    datasets: Mapping[str, Sequence[Mapping[str, Any]]],
    padding: Mapping[str, int],
) -> dict[str, Any]:
    """The specification of `views` with the parameters' first values and the datasets, and what all
    figures share."""
    return {
        "$schema": alt.SCHEMA_URL,
        **views,
        "params": [{"name": name, "value": value} for name, value in state.items()],
        "datasets": {name: list(rows) for name, rows in datasets.items()},
        "padding": dict(padding),
        "config": {
            "font": FONT,
            "aria": False,
            "background": {"expr": "paper"},
            "view": {"stroke": None},
        },
    }


def written(chart: alt.TopLevelMixin) -> dict[str, Any]:
    """One view's specification. Charts of several views are put together from these: Altair copies
    all that a chart holds whenever it goes into another, which takes seconds."""
    spec: dict[str, Any] = chart.to_dict(validate=False, context={"top_level": False})
    return spec


def data(name: str) -> alt.Chart:
    """Marks on a named dataset."""
    return alt.Chart(alt.NamedData(name))


def rule(color: alt.ExprRef, x: str, x2: str, y: str, y2: str, **mark: Any) -> alt.Chart:
    """A straight line between two points given as expressions in the view's pixels."""
    return (
        data("one")
        .mark_rule(color=color, **mark)
        .encode(
            x=alt.XValue(alt.ExprRef(x)),
            x2=alt.X2Value(alt.ExprRef(x2)),
            y=alt.YValue(alt.ExprRef(y)),
            y2=alt.Y2Value(alt.ExprRef(y2)),
        )
    )


def frame(
    color: alt.ExprRef, x: str, x2: str, height: int, width: float, shown: str = "1"
) -> alt.Chart:
    """An empty rectangle over a view's height."""
    return (
        data("one")
        .mark_rect(filled=False, stroke=color, strokeWidth=width, fillOpacity=0)
        .encode(
            x=alt.XValue(alt.ExprRef(x)),
            x2=alt.X2Value(alt.ExprRef(x2)),
            y=alt.YValue(0),
            y2=alt.Y2Value(height),
            opacity=alt.OpacityValue(alt.ExprRef(shown)),
        )
    )


def words(name: str, *, x: Any, y: Any, color: str = "ink", **mark: Any) -> alt.Chart:
    """Text of a dataset's field `text`."""
    return (
        data(name)
        .mark_text(color=alt.ExprRef(color), **mark)
        .encode(x=x, y=y, text=alt.Text("text:N"))
    )


def x_scale(field: str, low: str, high: str) -> alt.X:
    """A field on the horizontal axis between two expressions."""
    domain = [alt.ExprRef(low), alt.ExprRef(high)]
    return alt.X(field, axis=None, scale=alt.Scale(domain=domain, nice=False, zero=False))


def down_scale(field: str, low: str, high: str) -> alt.Y:
    """A field on the vertical axis between two expressions, the lower one on top."""
    domain = [alt.ExprRef(low), alt.ExprRef(high)]
    scale = alt.Scale(domain=domain, nice=False, zero=False, reverse=True)
    return alt.Y(field, axis=None, scale=scale)


def y_scale(field: str, rows: str) -> alt.Y:
    """A field on the vertical axis, row 0 at its start, `rows` an expression."""
    domain: list[Any] = [0, alt.ExprRef(rows)]
    return alt.Y(field, axis=None, scale=alt.Scale(domain=domain, nice=False, zero=False))


def tile(name: str, low: str, high: str) -> alt.Chart:
    """Pictures of the cells, by address, between two expressions."""
    return (
        data(name)
        .mark_image(aspect=False, smooth=False, clip=True)
        .encode(
            x=x_scale("x0:Q", low, high),
            x2="x1",
            y=y_scale("y0:Q", "rowcount"),
            y2="y1",
            url="url:N",
        )
    )


def space(width: int, height: int) -> alt.Chart:
    """Room without ink, so that the grid stays aligned."""
    return data("one").mark_point(opacity=0).properties(width=width, height=height)
