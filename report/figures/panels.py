"""Two panels side by side or one below the other, for a light and for a dark page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import altair as alt

from attentropy.report import palette
from attentropy.report.figures.specification import FONT, Rows, VegaLite

# An axis label (expression) for a number of tokens: 128k for 131,072.
COUNT_LABEL = (
    "datum.value >= 1024 && datum.value % 1024 == 0 ? datum.value / 1024 + 'k' "
    ": format(datum.value, ',')"
)


@dataclass(frozen=True)
class Layout:
    """Pixels of a panel, and whether panels and legend stand side by side."""

    width: int
    height: int
    side_by_side: bool


def light_and_dark(
    panels: Sequence[VegaLite],
    layout: Layout,
    spacing: int,
    shared_channels: tuple[str, ...],
    datasets: Mapping[str, Rows],
    extra: tuple[VegaLite, VegaLite],
) -> tuple[VegaLite, VegaLite]:
    """Return the specifications of panels in light and in dark colours.

    `shared_channels` have one scale for all panels. `extra` (light, dark) is what the
    configurations have in addition to the common one.
    """
    spec: VegaLite = {
        "$schema": alt.SCHEMA_URL,
        "hconcat" if layout.side_by_side else "vconcat": list(panels),
        "spacing": spacing,
        "resolve": {"scale": dict.fromkeys(shared_channels, "shared")},
        "padding": 8,
    }
    light, dark = (
        spec | {"datasets": datasets, "config": _config(layout, dark, extra[dark])}
        for dark in (False, True)
    )
    return light, dark


def _config(layout: Layout, dark: bool, extra: VegaLite) -> VegaLite:
    ink, paper = ink_of(dark), (palette.DARK if dark else palette.LIGHT)["paper"]
    faint = f"{ink}22"
    config: VegaLite = {
        "font": FONT,
        "aria": False,
        "background": paper,
        "view": {"stroke": None},
        "axis": {
            "labelColor": ink, "titleColor": ink, "gridColor": faint, "domainColor": faint,
            "tickColor": faint, "labelFontSize": 11, "titleFontSize": 12,
            "titleFontWeight": "normal",
        },
        "legend": {
            "orient": "right" if layout.side_by_side else "bottom",
            "columns": 1 if layout.side_by_side else 2,
            "labelColor": ink, "labelFontSize": 11, "symbolStrokeWidth": 0, "symbolOpacity": 1,
            "rowPadding": 3,
        },
    }  # fmt: skip
    return config | {name: config.get(name, {}) | part for name, part in extra.items()}


def ink_of(dark: bool) -> str:
    """Return the colour of text and lines on a light or a dark page."""
    return (palette.DARK if dark else palette.LIGHT)["ink"]
