"""Two panels side by side, or one below the other, in the colours of a light and of a dark page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import altair as alt

from attentropy.report import palette
from attentropy.report.figures.marks import FONT, Layers

Part = alt.Chart | Layers
Config = dict[str, Any]


@dataclass(frozen=True)
class Layout:
    """Pixels of a panel; side by side with the legend beside, or one below the other."""

    width: int
    height: int
    beside: bool


def light_and_dark(
    panels: tuple[Part, Part],
    layout: Layout,
    spacing: int,
    shared: tuple[str, ...],
    datasets: Mapping[str, Any],
    own: tuple[Config, Config],
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Vega-Lite specifications: light and dark. `shared`: channels with one scale for both panels;
    `own`: what each configuration has beside `config`, or changes in its parts."""
    scales: dict[str, Any] = dict.fromkeys(shared, "shared")
    joined = alt.hconcat if layout.beside else alt.vconcat
    spec: dict[str, Any] = (
        joined(*panels, spacing=spacing)
        .resolve_scale(**scales)
        .properties(padding=8)
        .to_dict(validate=False)
    )
    del spec["config"]
    light, dark = (
        spec | {"datasets": datasets, "config": _config(layout, dark, own[dark])}
        for dark in (False, True)
    )
    return light, dark


def _config(layout: Layout, dark: bool, own: Config) -> Config:
    colors = palette.DARK if dark else palette.LIGHT
    ink, faint = colors["ink"], f"{colors['ink']}22"
    found: Config = {
        "font": FONT,
        "aria": False,
        "background": colors["paper"],
        "view": {"stroke": None},
        "axis": {
            "labelColor": ink, "titleColor": ink, "gridColor": faint, "domainColor": faint,
            "tickColor": faint, "labelFontSize": 11, "titleFontSize": 12,
            "titleFontWeight": "normal",
        },
        "legend": {
            "orient": "right" if layout.beside else "bottom", "columns": 1 if layout.beside else 2,
            "labelColor": ink, "labelFontSize": 11, "symbolStrokeWidth": 0, "symbolOpacity": 1,
            "rowPadding": 3,
        },
    }  # fmt: skip
    return found | {name: found.get(name, {}) | part for name, part in own.items()}


def ink(dark: bool) -> str:
    """The colour of words and lines."""
    return (palette.DARK if dark else palette.LIGHT)["ink"]
