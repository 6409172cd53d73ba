"""What the page's script reads: packed values, labels, and where things are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from attentropy.engine.trace import Trace
from attentropy.report import palette
from attentropy.report.figures.placement import Placement
from attentropy.report.figures.sizes import Size
from attentropy.report.labels import short, visible
from attentropy.report.observations import Observation
from attentropy.report.raster import pack
from attentropy.report.views import high

# Rectangles with text that a browser redraws smoothly; wider sections show the image alone.
LIVE_CELLS = 2500
_FULL_TEXT = 120


def payload(
    trace: Trace,
    observations: Sequence[Observation],
    views: list[str],
    rows: list[str],
    sizes: dict[str, Size],
    placed: Placement,
) -> dict[str, Any]:
    """Everything that the page's script reads."""
    packed: dict[str, Any] = {}
    names: list[int] = []
    if "lens" in views:
        ids = trace.lens("lens_top_ids")
        targets = trace["target_ids"] if "target_ids" in trace else np.zeros(0, np.int32)
        names = sorted({int(i) for i in np.unique(np.append(ids, targets))} - {-1})
        packed["lensEntropy"] = pack(trace.lens("lens_entropy"))
        packed["topIds"] = pack(_index(ids, names))
        packed["topLogprobs"] = pack(trace.lens("lens_top_logprobs"))
        if "lens_rank" in trace and targets.size:
            packed["targets"] = pack(_index(targets, names))
            packed["lensRank"] = pack(trace.lens("lens_rank"))
        if "lens_kl" in trace:
            packed["lensKl"] = pack(trace.lens("lens_kl"))
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
            "causal": is_causal(trace),
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
        "placement": {
            "stop": placed.stop,
            "column": placed.column,
            "caption": placed.caption,
        },
        "high": {name: high(trace, name) for name in ("lens", "attention")},
        "maps": {name: list(stops) for name, stops in palette.MAPS.items()},
        "missing": palette.MISSING,
        "themes": {"light": palette.LIGHT, "dark": palette.DARK},
        "inks": [palette.DARK_INK, palette.LIGHT_INK],
        "liveCells": LIVE_CELLS,
        "sizes": {name: layout(size) for name, size in sizes.items()},
        "window": window,
        "packed": packed,
        "observations": [
            {"view": o.view, "layer": o.layer, "position": o.position, "head": o.head}
            for o in observations
        ],
    }


def _index(ids: np.ndarray, names: list[int]) -> np.ndarray:
    """Where each id is in `names`; -1 stays."""
    return np.where(ids >= 0, np.searchsorted(names, ids), -1).astype(np.int32)


def layout(size: Size) -> dict[str, int]:
    return {
        "total": size.total, "left": size.left, "section": size.section, "height": size.height,
        "overview": size.overview, "above": size.above, "columns": size.columns,
        "insetLetters": size.inset_letters,
    }  # fmt: skip


def _full(text: str) -> str:
    shown = visible(text)
    return shown if len(shown) <= _FULL_TEXT else shown[:_FULL_TEXT] + "…"


def is_causal(trace: Trace) -> bool:
    """Whether no query of the window puts weight on a later key."""
    weights = trace["window"][:, 0]
    return not bool((np.triu(np.nan_to_num(weights), 1) > 0).any())
