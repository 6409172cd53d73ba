"""Recorded parts laid out as the trace's labelled arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from transformers import PreTrainedModel

from attentropy.engine.model.layers import layer_count, layer_kinds
from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.text import text_array

if TYPE_CHECKING:
    from attentropy.engine.attention.recorder import Call, Recorder

_ATTENTION = ("layer", "head", "query")
_WINDOW = ("layer", "window_head", "window_query", "window_key")
_NO_ATTENTION = "not applicable: this layer makes no softmax attention call"


def attention_trace(
    recorder: Recorder, tokens: Mapping[str, Any] | None = None, sequence: int = 0
) -> Trace:
    """The attention half of one sequence's trace; `tokens` are the coordinates along `position`."""
    calls = entries(recorder)
    recorded = [call for _, _, call in calls if call is not None]
    spans = [call.tokens(sequence) for call in recorded]
    n = max((span.stop - span.start for span in spans), default=0)
    data: dict[str, Any] = {}
    names = sorted({name for call in recorded for name in call.stats})
    heads = max((call.values("lse").shape[0] for call in recorded), default=0)
    for name in names:
        blank = -1 if name == "top_key" else np.nan
        values = np.full(
            (len(calls), heads, n), blank, np.int32 if name == "top_key" else np.float32
        )
        for i, (_, _, call) in enumerate(calls):
            if call is not None and name in call.stats:
                part = call.values(name, sequence)[:, call.tokens(sequence)]
                values[i, : part.shape[0], : part.shape[1]] = part
        data[name] = (_ATTENTION, values)
    visible = np.zeros((len(calls), n), np.int32)
    for i, (_, _, call) in enumerate(calls):
        if call is not None:
            counts = call.visible_keys(sequence)[call.tokens(sequence)]
            visible[i, : len(counts)] = counts
    data["visible"] = (("layer", "query"), visible)

    coords: dict[str, Any] = {
        "layer": ("layer", np.array([layer for layer, _, _ in calls], np.int32)),
        "call": ("layer", np.array([index for _, index, _ in calls], np.int32)),
        "heads": (
            "layer",
            np.array([0 if c is None else c.values("lse").shape[0] for _, _, c in calls], np.int32),
        ),
        "attention_note": (
            "layer",
            text_array(["" if c is not None else why_none(recorder.model, i) for i, _, c in calls]),
        ),
        "head": ("head", np.arange(heads, dtype=np.int32)),
        "query": ("query", np.arange(n, dtype=np.int32)),
    }
    _add_windows(calls, sequence, data, coords)
    coords |= tokens if tokens is not None else _unnamed(n)
    return Trace(xr.Dataset(data, coords))


def entries(recorder: Recorder) -> list[tuple[int, int, Call | None]]:
    """(layer, call, what was recorded) for every layer of the model; None where nothing was."""
    layers = layer_count(recorder.model)
    entries: list[tuple[int, int, Call | None]] = [
        (layer, index, call) for (layer, index), call in recorder.calls.items()
    ]
    called = {layer for layer, _, _ in entries}
    entries += [(layer, 0, None) for layer in range(layers) if layer not in called]
    return sorted(entries, key=lambda entry: entry[:2])


def why_none(model: PreTrainedModel, layer: int) -> str:
    """Why a layer has no attention in the trace."""
    kinds = layer_kinds(model)
    kind = f" ({kinds[layer]})" if layer < len(kinds) else ""
    return f"{_NO_ATTENTION}{kind}"


def _add_windows(
    calls: Sequence[tuple[int, int, Call | None]],
    sequence: int,
    data: dict[str, Any],
    coords: dict[str, Any],
) -> None:
    windows = [None if call is None else call.windows.get(sequence) for _, _, call in calls]
    kept = [window for window in windows if window is not None]
    if not kept:
        return
    heads, rows, keys = (max(sizes) for sizes in zip(*(w.weights.shape for w in kept), strict=True))
    whole = all(window.entropy is None for window in kept)
    for name in ("weights",) if whole else ("weights", "entropy"):
        values = np.full((len(calls), heads, rows, keys), np.nan, np.float32)
        for i, window in enumerate(windows):
            part = None if window is None else getattr(window, name)
            if part is not None:
                values[i, : part.shape[0]] = part
        data["window" if name == "weights" else "window_entropy"] = (_WINDOW, values)
    head = np.arange(heads) if whole else np.array([-1])
    stop = kept[0].stop
    coords["window_head"] = ("window_head", head.astype(np.int32))
    coords["window_query"] = ("window_query", np.arange(stop - rows, stop, dtype=np.int32))
    coords["window_key"] = ("window_key", np.arange(stop - keys, stop, dtype=np.int32))


def _unnamed(n: int) -> dict[str, Any]:
    """Coordinates of a sequence whose tokens are not known here: numbered content."""
    return {
        "position": ("position", np.arange(n, dtype=np.int32)),
        "token_ids": ("position", np.full(n, -1, np.int32)),
        "token_text": ("position", text_array([f"[{i}]" for i in range(n)])),
        "role": ("position", text_array(["content"] * n)),
    }
