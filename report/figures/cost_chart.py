"""The figure of what recording costs: time and peak memory of a pass with and without it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt

from attentropy.report.figures.marks import dataset
from attentropy.report.figures.panels import Layout, ink_of, light_and_dark
from attentropy.report.figures.specification import Rows, VegaLite, layer
from attentropy.report.units import format_bytes

# Variant of the pass: its name, its colours on a light and on a dark page; from top to bottom.
_VARIANTS = {
    "recording": ("recording", "#7b3294", "#a564c0"),
    "off": ("without recording", "#9aa3b2", "#7d8798"),
    "fused": ("PyTorch's fused attention", "#5d6470", "#b4bac6"),
}
_BAR, _STEP = 18, 32  # pixels: height of a bar, and from bar to bar
_NAMES = 150  # pixels that the names of the bars take
_VALUES = 1.45  # the axis ends so far behind the longest bar: the values are written there

WIDE, NARROW = Layout(330, 3 * _STEP, True), Layout(220, 3 * _STEP, False)


def cost_charts(profile: Mapping[str, Any], layout: Layout) -> tuple[VegaLite, VegaLite]:
    """Return the specifications for a light and for a dark page.

    The second panel, peak memory, is left out where memory was not measured.
    """
    rows = cost_rows(profile)
    times = _panel(rows, "time", _time_title(profile), layout)
    panels = [times]
    if profile["memory"] and any(row["memory"] for row in rows):
        panels.append(_panel(rows, "memory", "Peak memory beyond the model", layout))
    return light_and_dark(
        panels, layout, 24, ("color",), {"costs": rows},
        (_config(rows, False), _config(rows, True)),
    )  # fmt: skip


def cost_rows(profile: Mapping[str, Any]) -> Rows:
    """Return for each variant its time (seconds, with its range) and peak memory (MB) in words."""
    rows = []
    for name, (label, *_) in _VARIANTS.items():
        variant = profile["variants"].get(name)
        if variant is None:
            continue
        low, middle, high = variant["seconds"]
        ratio = profile["ratios"].get(name)
        times = f" (recording: {ratio['whole'][1]:.2f}×)" if ratio else ""
        peak = max(0, variant["peak_bytes"])
        rows.append(
            {
                "variant": label, "time": middle, "time_low": low, "time_high": high,
                "time_text": f"{_seconds(middle)}{times}", "memory": peak / 1e6,
                "memory_text": format_bytes(peak),
            }
        )  # fmt: skip
    return rows


def _seconds(value: float) -> str:
    if value >= 1:
        return f"{value:.3g} s" if value < 100 else f"{value:,.0f} s"
    return f"{value * 1e3:.3g} ms"


def _time_title(profile: Mapping[str, Any]) -> str:
    return f"Time of a pass over {profile['tokens']:,} tokens"


def _panel(rows: Rows, field: str, title: str, layout: Layout) -> VegaLite:
    names = [row["variant"] for row in rows]
    furthest = "time_high" if field == "time" else field
    longest = max((float(row[furthest]) for row in rows), default=1.0) or 1.0
    scale = alt.Scale(domain=[0, longest * _VALUES], nice=False)
    x = alt.X(f"{field}:Q", title=None, scale=scale, axis=None)
    y = alt.Y(
        "variant:N", title=None, sort=names,
        axis=alt.Axis(ticks=False, domain=False, labelLimit=_NAMES, labelPadding=6),
    )  # fmt: skip
    base = dataset("costs").encode(y=y)
    color = alt.Color("variant:N", scale=alt.Scale(domain=names), legend=None)
    marks = [base.mark_bar(height=_BAR).encode(x=x, color=color)]
    if field == "time":
        marks.append(
            base.mark_rule(strokeWidth=1.5).encode(
                x=alt.X("time_low:Q", scale=scale, axis=None), x2=alt.X2("time_high")
            )
        )
    marks.append(
        base.mark_text(align="left", baseline="middle", dx=6).encode(
            x=alt.X(f"{furthest}:Q", scale=scale, axis=None), text=alt.Text(f"{field}_text:N")
        )
    )
    width = layout.width if field == "time" or not layout.side_by_side else layout.width - 90
    return layer(*marks, width=width, height=_STEP * len(names), title=title)


def _config(rows: Rows, dark: bool) -> VegaLite:
    colours = {label: pair for label, *pair in _VARIANTS.values()}
    return {
        "range": {"category": [colours[row["variant"]][dark] for row in rows]},
        "text": {"color": ink_of(dark), "fontSize": 11},
        "rule": {"color": ink_of(dark)},
        "title": {
            "color": ink_of(dark), "fontSize": 12, "fontWeight": 600, "anchor": "start",
            "frame": "group", "offset": 8,
        },
    }  # fmt: skip
