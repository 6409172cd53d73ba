"""A trace in, one HTML file out: no network, no inline handler, every token escaped."""

from __future__ import annotations

import base64
import hashlib
import math
import re
from collections.abc import Sequence
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from attentropy.engine.errors import TraceError
from attentropy.engine.trace import Trace
from attentropy.report import palette
from attentropy.report.figures import cells
from attentropy.report.figures.heatmap import Size, heatmap, narrow, wide
from attentropy.report.figures.placement import Placement, place
from attentropy.report.figures.tokenmap import tokenmap
from attentropy.report.labels import short, visible
from attentropy.report.observations import Observation
from attentropy.report.raster import data_uri, pack, png

# Rectangles with text that a browser redraws smoothly; wider sections show the image alone.
LIVE_CELLS = 2500
_PROMPT_TOKENS = 3000
_TABLE_COLUMNS = 24
_SHADES = 32
_MAP_SIDE = 430
_FULL_TEXT = 120


def render(trace: Trace, observations: Sequence[Observation]) -> str:
    """The report as one HTML document; the same trace and version give the same bytes.

    Raises `TraceError` for a trace that holds neither attention nor lens entropies.
    """
    views = [
        name for name, key in (("lens", "lens_entropy"), ("attention", "entropy")) if key in trace
    ]
    if not views:
        raise TraceError("the trace holds no entropies: there is nothing to show")
    rows = [str(int(layer)) for layer in trace["layer"]]
    values, texts, high = _first_view(trace, views[0])
    sizes = {"wide": wide(len(rows)), "narrow": narrow(len(rows))}
    placed = {name: place(trace, size.columns) for name, size in sizes.items()}
    charts = {
        name: heatmap(
            size,
            cells.state(trace, size, placed[name], len(rows)),
            cells.datasets(trace, size, placed[name], values, texts, rows, high),
        ).to_dict()
        for name, size in sizes.items()
    }
    highs = {"lens": _lens_high(trace), "attention": _attention_high(trace)}
    has_map = "window" in trace and trace.dataset.sizes["window_query"] > 1
    map_chart = _map_chart(trace, placed["wide"]) if has_map else None
    payload = _payload(trace, observations, views, rows, sizes, placed["wide"], highs)
    captions = _captions(trace, placed["wide"], views)
    payload["captions"] = captions
    payload["specs"] = {name: _vega(chart) for name, chart in charts.items()}
    payload["mapSpec"] = _vega(map_chart) if map_chart else None
    still, still_width = _still(charts["wide"])
    still_dark, _ = _still(_in_the_dark(charts["wide"]))
    still_map, still_map_width = _still(map_chart) if map_chart else ("", 0)
    script = _script()
    style = _source("page.css") + _shade_classes()
    error = max((packed["error"] for packed in payload["packed"].values()), default=0.0)
    context = _words(trace, observations, views, rows, placed["wide"], values, texts, high) | {
        "policy": _policy(script, style),
        "script": Markup(script),  # our own code and the bundled library, nothing of the trace
        "style": Markup(style),
        "payload": payload,
        "captions": captions,
        "views": views,
        "layers": rows,
        "heads": trace.dataset.sizes.get("head", 0),
        "has_map": has_map,
        "map_per_head": has_map and "window_entropy" not in trace,
        "still": still,
        "still_width": still_width,
        "still_dark": still_dark,
        "still_map": still_map,
        "still_map_width": still_map_width,
        "precision": (
            "Values are exact." if error == 0 else f"Values are within {error:.1g} of the trace's."
        ),
    }
    return _environment().get_template("page.html.j2").render(context) + "\n"


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("attentropy", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {
        "allow_nan": False,
        "sort_keys": True,
        "separators": (",", ":"),
    }
    return environment


def _source(name: str) -> str:
    loader = _environment().loader
    assert loader is not None
    return loader.get_source(_environment(), name)[0]


@lru_cache(maxsize=1)
def _script() -> str:
    """The bundled Vega and the page's own script, in one function that leaks no name."""
    import vl_convert

    bundle = vl_convert.javascript_bundle()
    taken = "".join(f"delete window.{name};" for name in ("vegaEmbed", "vega", "vegaLite"))
    script = (
        f"((run)=>{{(()=>{{{bundle}\n}})();const embed=window.vegaEmbed;{taken}run(embed);}})"
        f"((vegaEmbed)=>{{{_source('page.js')}}});"
    )
    if "</script" in script.lower() or "<!--" in script:
        raise RuntimeError("the script would end its own element")
    return script


def _policy(script: str, style: str) -> str:
    def digest(text: str) -> str:
        return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

    return (
        f"default-src 'none'; script-src 'sha256-{digest(script)}'; "
        f"style-src 'sha256-{digest(style)}'; img-src data:; base-uri 'none'; form-action 'none'"
    )


def _vega(chart: dict[str, Any]) -> dict[str, Any]:
    import vl_convert

    spec: dict[str, Any] = vl_convert.vegalite_to_vega(chart)
    return spec


def _still(chart: dict[str, Any]) -> tuple[str, int]:
    """A picture for readers without scripts and before they run, and its width in CSS pixels."""
    import vl_convert

    image = vl_convert.vegalite_to_svg(chart)
    # The library counts its clips over all pictures of a process: count from here instead.
    order: dict[str, str] = {}
    image = re.sub(r"\bclip\d+\b", lambda m: order.setdefault(m[0], f"clip{len(order)}"), image)
    width = re.search(r'\bwidth="([\d.]+)"', image)
    return data_uri(image.encode(), "image/svg+xml"), round(float(width[1])) if width else 0


def _in_the_dark(chart: dict[str, Any]) -> dict[str, Any]:
    dark = palette.DARK
    params = [
        {**param, "value": dark[param["name"]]} if param["name"] in dark else param
        for param in chart["params"]
    ]
    return {**chart, "params": params}


def _lens_high(trace: Trace) -> float:
    """Upper end of the lens's scale: 10 nats, or ln V where that is less."""
    size = trace.attrs.get("model", {}).get("vocabulary")
    return min(10.0, math.log(size)) if isinstance(size, int) and size > 1 else 10.0


def _attention_high(trace: Trace) -> float:
    """Upper end of attention's scale: ln of the most visible keys."""
    most = int(trace["visible"].max()) if "visible" in trace and trace["visible"].size else 0
    return math.log(most) if most > 1 else 1.0


def _first_view(trace: Trace, view: str) -> tuple[np.ndarray, list[list[str]], float]:
    """Values [layers, N] in nats and the cells' texts of the view that opens."""
    if view == "lens":
        values = trace["lens_entropy"][0]
        ids = trace["lens_top_ids"][0, :, :, 0]
        names = {
            int(i): t for i, t in zip(np.unique(ids), trace.text_of(np.unique(ids)), strict=True)
        }
        texts = [[short(names[int(i)], 8) if i >= 0 else "" for i in row] for row in ids]
        return values, texts, _lens_high(trace)
    entropy = trace["entropy"]
    counted = np.isfinite(entropy).sum(1)
    values = np.where(counted > 0, np.nansum(entropy, axis=1) / np.maximum(counted, 1), np.nan)
    texts = [[""] * values.shape[1] for _ in range(values.shape[0])]
    if "top_key" in trace:
        for layer, keys in enumerate(trace["top_key"]):  # [head, query]
            for query in range(keys.shape[1]):
                seen = keys[:, query][keys[:, query] >= 0]
                if seen.size:  # the key that most heads attend to most; ties to the lower
                    texts[layer][query] = short(trace.tokens[np.bincount(seen).argmax()], 8)
    return values, texts, _attention_high(trace)


def _map_chart(trace: Trace, placed: Placement) -> dict[str, Any]:
    weights = trace["window"][0]
    weights = np.nanmean(weights[: _heads_in(trace, 0)], axis=0)  # [queries, keys]
    n = weights.shape[0]
    first = int(trace["window_query"][0])
    hidden = (
        np.triu(np.ones_like(weights, bool), 1)
        if _is_causal(trace)
        else np.zeros_like(weights, bool)
    )
    opacity = np.where(hidden, 0, 255).astype(np.uint8)[..., None]
    image = png(np.concatenate([palette.colors(weights, 0, 1, "weight"), opacity], -1))
    every = max(1, math.ceil(n / 36))
    labels = [
        {"at": i + 0.5, "text": short(trace.tokens[first + i], 10)} for i in range(0, n, every)
    ]
    state = {
        "n": n, "first": first, "col": placed.column, **palette.LIGHT,
    }  # fmt: skip
    rows = {
        "map": [{"x0": 0, "x1": n, "y0": 0, "y1": n, "url": data_uri(image)}],
        "labels": labels,
        "one": [{"o": 1}],
    }
    chart: dict[str, Any] = tokenmap(_MAP_SIDE, state, rows).to_dict()
    return chart


def _heads_in(trace: Trace, layer: int) -> int:
    heads = int(trace["heads"][layer]) if "heads" in trace else trace["window"].shape[1]
    return max(1, min(heads, trace["window"].shape[1]))


def _is_causal(trace: Trace) -> bool:
    """Whether no query of the window puts weight on a later key."""
    weights = trace["window"][:, 0]
    return not bool((np.triu(np.nan_to_num(weights), 1) > 0).any())


def _payload(
    trace: Trace,
    observations: Sequence[Observation],
    views: list[str],
    rows: list[str],
    sizes: dict[str, Size],
    placed: Placement,
    highs: dict[str, float],
) -> dict[str, Any]:
    """Everything that the page's script reads."""
    packed: dict[str, Any] = {}
    names: list[int] = []
    if "lens" in views:
        ids = trace["lens_top_ids"][0]
        names = sorted({int(i) for i in np.unique(ids)} - {-1})
        index = np.full(ids.shape, -1, np.int32)
        index[ids >= 0] = np.searchsorted(names, ids[ids >= 0])
        packed["lensEntropy"] = pack(trace["lens_entropy"][0])
        packed["topIds"] = pack(index)
        packed["topLogprobs"] = pack(trace["lens_top_logprobs"][0])
    if "attention" in views:
        packed["entropy"] = pack(trace["entropy"])
        packed["visible"] = pack(trace["visible"])
        for name, key in (("maxProb", "max_prob"), ("topKey", "top_key")):
            if key in trace:
                packed[name] = pack(trace[key])
    window: dict[str, Any] = {"first": 0, "size": 0, "perHead": True, "causal": True}
    if "window" in trace:
        packed["window"] = pack(np.nan_to_num(trace["window"]))
        if "window_entropy" in trace:
            packed["windowShare"] = pack(np.nan_to_num(trace["window_entropy"]))
        window = {
            "first": int(trace["window_query"][0]),
            "size": trace.dataset.sizes["window_query"],
            "perHead": "window_entropy" not in trace,
            "causal": _is_causal(trace),
        }
    texts = trace.text_of(names)
    notes = trace["attention_note"] if "attention_note" in trace else [""] * len(rows)
    heads = trace["heads"] if "heads" in trace else np.zeros(len(rows), int)
    return {
        "views": views,
        "layers": rows,
        "heads": trace.dataset.sizes.get("head", 0),
        "headCounts": [int(count) for count in heads],
        "notes": [str(note) for note in notes],
        "tokens": [short(token, 16) for token in trace.tokens],
        "full": [_full(token) for token in trace.tokens],
        "roles": trace.roles,
        "vocabulary": [short(text, 14) for text in texts],
        "vocabularyFull": [_full(text) for text in texts],
        "placement": {"column": placed.column, "caption": placed.caption},
        "high": highs,
        "maps": {name: list(stops) for name, stops in palette.MAPS.items()},
        "missing": palette.MISSING,
        "themes": {"light": palette.LIGHT, "dark": palette.DARK},
        "inks": [palette.DARK_INK, palette.LIGHT_INK],
        "liveCells": LIVE_CELLS,
        "sizes": {name: _layout(size) for name, size in sizes.items()},
        "window": window,
        "packed": packed,
        "observations": [
            {"view": o.view, "layer": o.layer, "position": o.position, "head": o.head}
            for o in observations
        ],
    }


def _layout(size: Size) -> dict[str, int]:
    return {
        "total": size.total, "left": size.left, "section": size.section, "height": size.height,
        "overview": size.overview, "above": size.above, "columns": size.columns,
        "insetLetters": size.inset_letters,
    }  # fmt: skip


def _full(text: str) -> str:
    shown = visible(text)
    return shown if len(shown) <= _FULL_TEXT else shown[:_FULL_TEXT] + "…"


def _shade_classes() -> str:
    """A class for each step of the scale, so that tokens have colour without inline styles."""
    steps = palette.colors((np.arange(_SHADES) + 0.5) / _SHADES, 0, 1)
    fills, inks = palette.hexes(steps), palette.inks(steps)
    return "".join(
        f".s{i}{{background:{fill};color:{ink}}}"
        for i, (fill, ink) in enumerate(zip(fills, inks, strict=True))
    )


def _words(
    trace: Trace,
    observations: Sequence[Observation],
    views: list[str],
    rows: list[str],
    placed: Placement,
    values: np.ndarray,
    texts: list[list[str]],
    high: float,
) -> dict[str, Any]:
    """All that is written on the page as text."""
    attrs = trace.attrs
    model = attrs.get("model", {})
    n = len(trace.tokens)
    name = str(model.get("name", "model"))
    entropy = "logit-lens entropy" if views[0] == "lens" else "attention entropy"
    last = values[-1]
    shown = range(max(0, n - _PROMPT_TOKENS), n)
    tokens = [
        {
            "text": visible(trace.tokens[i]) if trace.tokens[i].strip() == "" else trace.tokens[i],
            "role": trace.roles[i],
            "shade": _shade(last[i], high),
            "title": f"position {i}, {trace.roles[i]}: {_nats(last[i])}",
        }
        for i in shown
    ]
    start = max(placed.start, placed.stop - _TABLE_COLUMNS)
    columns = range(start, placed.stop)
    kinds = "top token" if views[0] == "lens" else "most attended token"
    return {
        "version": _version(),
        "title": f"attentropy: {name}, {n} tokens",
        "heading": f"Where {name} is certain, and where it is not",
        "subtitle": (
            f"{n} tokens, {len(rows)} layers, {trace.dataset.sizes.get('head', 0)} heads, "
            f"{_parameters(model.get('parameters'))}{model.get('dtype', '')} on "
            f"{model.get('device', 'unknown device')}; all entropies in nats"
        ),
        "tokens": tokens,
        "answer": str(attrs.get("answer", "")),
        "shade_note": f"Colour: {entropy} after the last layer, blue 0 to red {high:.1f} nats.",
        "cut": f"The last {_PROMPT_TOKENS} of {n} tokens." if n > _PROMPT_TOKENS else "",
        "figure_title": "Entropy by layer and position",
        "description": (
            f"Heatmap of {entropy}, {len(rows)} layers by {n} positions, with an overview, a "
            f"section of positions {placed.start} to {placed.stop - 1} and an inset of position "
            f"{placed.column}. The findings below say what it shows."
        ),
        "findings": [
            {"text": o.text, "found": o.found, "numbers": _numbers(o)} for o in observations
        ],
        "table_note": f"entropy in nats and {kinds}, positions {start} to {placed.stop - 1}",
        "table_columns": [short(trace.tokens[i], 14) for i in columns],
        "table": [
            {
                "label": rows[r],
                "cells": [
                    (f"{values[r, i]:.2f}" if np.isfinite(values[r, i]) else "–", texts[r][i])
                    for i in columns
                ],
            }
            for r in reversed(range(len(rows)))
        ],
        "provenance": list(_provenance(attrs)),
    }


def _captions(trace: Trace, placed: Placement, views: list[str]) -> dict[str, str]:
    """Below the figure, for each view: what is drawn, in which colours, and what the box says."""
    ends = {"lens": _lens_high(trace), "attention": _attention_high(trace)}
    what = {
        "lens": (
            "logit-lens entropy at every position, one row a layer",
            "Cells name the lens's likeliest token.",
            f"Green: position {placed.column} magnified, with the token's probability.",
            f" Blue box: {placed.caption}." if placed.caption else "",
        ),
        "attention": (
            "attention entropy of every query, mean over heads, one head, or the heads of a layer",
            "Cells name the most attended token.",
            "Green: the exact attention weights of the selected query and the two before it.",
            "",
        ),
    }
    return {
        view: (
            f"Top: {what[view][0]}; the purple frame is magnified below. {what[view][1]} Blue is "
            f"low, white {ends[view] / 2:.1f} nats, red high, grey missing. {what[view][2]}"
            f"{what[view][3]}"
        )
        for view in views
    }


def _nats(value: float) -> str:
    return f"{value:.2f} nats" if np.isfinite(value) else "missing"


def _shade(value: float, high: float) -> str:
    if not np.isfinite(value):
        return "missing"
    return f"s{min(_SHADES - 1, int(max(0.0, value) / high * _SHADES))}"


def _numbers(observation: Observation) -> str:
    if observation.value is None:
        parts = [f"{observation.statistic}: not measured"]
    else:
        parts = [f"{observation.statistic} = {observation.value:.4g} {observation.unit}"]
    if observation.threshold is not None:
        parts.append(f"held against {observation.threshold:.3g}")
    if observation.n is not None:
        parts.append(f"n = {observation.n}")
    return "; ".join(parts)


def _parameters(count: Any) -> str:
    if not isinstance(count, int):
        return ""
    return (
        f"{count / 1e9:.1f} B parameters, " if count >= 1e9 else f"{count / 1e6:.1f} M parameters, "
    )


def _provenance(attrs: dict[str, Any]) -> Any:
    """(name, value) lines of what the trace says of its making."""
    for section in (
        "model",
        "tokenizer",
        "prompt",
        "implementation",
        "versions",
        "options",
        "notes",
    ):
        value = attrs.get(section)
        if isinstance(value, dict):
            said = [f"{key} {item}" for key, item in value.items() if item is not None]
            yield section, ", ".join(said)[:2000]
        elif isinstance(value, list):
            yield section, "; ".join(str(item) for item in value)[:2000] or "none"
        elif value is not None:
            yield section, str(value)[:200]


def _version() -> str:
    try:
        return version("attentropy")
    except PackageNotFoundError:
        return "unknown"
