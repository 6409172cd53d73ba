"""The report's charts drawn: still pictures, and the Vega specifications that move."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from attentropy.report import vega
from attentropy.report.content.profile_words import Chart
from attentropy.report.content.report import ChartsByWidth, Report
from attentropy.report.content.sections import Section
from attentropy.report.figures.layerpanel import layerpanel
from attentropy.report.pack.encode import deflate
from attentropy.report.page.document import Still, draw_still
from attentropy.report.read.curves import Curve

Pictures = Mapping[str, Still | None]

# Datasets that the script fills before the chart is shown.
_FILLED = {
    "tile", "part", "cells", "hatch", "overviewhatch", "inset", "insethatch", "histogram", "map",
    "exact", "window", "received", "receivedpart", "heads", "sprite", "frames", "numbers", "labels",
    "picked", "pointed", "bars", "dimmed", "miniparts", "miniturns", "minihits", "miniview",
    "miniselected", "lineparts", "hidden", "hiddenhatch", "hiddenbands", "hiddennames",
    "hiddennotes", "hiddentitle",
}  # fmt: skip
_MANY_HEADS = 256
# Charts that stand empty until the script fills them.
_SCRIPTED = {"bars", "minimap", "lines", "effectlegend"}
# Charts that are drawn for a telephone as well, because a wide one is unreadable there.
_FOR_BOTH = {"figure", "map", "window", "spread", "effects", "context"}
_STILL = {"effects", "hiddenstrip", "context"}  # charts that do not move


def specifications(charts: Mapping[str, ChartsByWidth]) -> dict[str, dict[str, str]]:
    """Return the charts as deflated Vega specifications, by name and width."""
    return {
        name: {width: _specification(chart) for width, chart in by_width.items()}
        for name, by_width in charts.items()
        if name not in _STILL
    }


def _specification(chart: Chart) -> str:
    """Return the Vega specification; it takes its pictures from the script's canvases."""
    specification = vega.to_vega(chart)
    for dataset in specification["data"]:
        if dataset["name"] in _FILLED:
            dataset["values"] = []
    _let_canvases_in(specification)
    _let_widths_follow(specification)
    return deflate(json.dumps(specification, separators=(",", ":"), sort_keys=True).encode())


def _let_canvases_in(group: dict[str, Any]) -> None:
    """Let image marks draw the field `image`, a canvas, where a row has no address.

    That is immediate: no picture is encoded and decoded.
    """
    for mark in group.get("marks", []):
        if mark.get("type") == "image":
            mark["encode"]["update"]["url"] = {"field": "url"}
            mark["encode"]["update"]["image"] = {"field": "image"}
        _let_canvases_in(mark)


def _let_widths_follow(specification: dict[str, Any]) -> None:
    """Let views that are as wide as the parameters `section` and `total` say follow these.

    So one specification serves every width of a screen.
    """
    values = {signal["name"]: signal.get("value") for signal in specification.get("signals", [])}
    for signal in specification.get("signals", []):
        for name in ("section", "total"):
            if signal["name"].endswith("_width") and signal.get("value") == values.get(name):
                signal["update"] = name
                signal.pop("value", None)
                break


def curves_of(sections: Mapping[str, Section]) -> dict[str, Curve]:
    """Return the curves of all sections by the names of their drawings."""
    return {name: curve for part in sections.values() for name, curve in part.curves.items()}


def still_pictures(report: Report) -> Pictures:
    """Draw the charts that open, for readers without scripts and before the scripts run.

    Large charts have a picture for each width, every other chart and every panel one.
    """
    pictures: dict[str, Still | None] = {
        f"{name} {width}" if width != "wide" else name: draw_still(chart)
        for name, charts in report.charts.items()
        if name not in _SCRIPTED
        for width, chart in charts.items()
        if width == "wide" or name in _FOR_BOTH
    }
    if report.attention.grid.count > _MANY_HEADS:
        pictures["roster"] = None  # the grid of the first screen is the same picture
    for name, curve in curves_of(report.sections).items():
        pictures[name] = draw_still(layerpanel(curve, report.axes.layers))
    return pictures


def _all(pictures: Pictures) -> Pictures:
    return pictures


def _wide(pictures: Pictures) -> Pictures:
    return {n: None if n.endswith(" narrow") else still for n, still in pictures.items()}


def _figure_alone(pictures: Pictures) -> Pictures:
    return {name: still if name == "figure" else None for name, still in pictures.items()}


def _light_figure(pictures: Pictures) -> Pictures:
    still = pictures["figure"]
    light = None if still is None else replace(still, dark=still.light)
    return _figure_alone({**pictures, "figure": light})


def _none(pictures: Pictures) -> Pictures:
    return dict.fromkeys(pictures)


# Which still pictures a page keeps, tried in turn until the values have their share of its bytes.
CHOICES: tuple[Callable[[Pictures], Pictures], ...] = (
    _all,
    _wide,
    _figure_alone,
    _light_figure,
    _none,
)
