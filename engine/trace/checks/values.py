"""Whether the pieces of a stranger's trace fit together: attributes, roles, places of tokens.

What is checked here is read whole when the trace is opened; it is small however long the prompt.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from attentropy.engine.errors import TraceError

# name -> the words that it may hold
_WORDS = {
    "role": ("bos", "eos", "template", "content", "generated", "padding"),
    "site": ("residual", "attention", "mlp"),
    "part": ("attention", "kernel", "mlp", "other", "lens", "writing"),
    "outside": ("embedding", "norm", "head", "rest", "writing"),
}
_ATTRIBUTES: Mapping[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("model", "tokenizer", "prompt", "versions", "options", "profile"), dict),
    **dict.fromkeys(("answer", "implementation"), str),
    "partial": dict, "notes": list,
}  # fmt: skip
_LARGEST = 2**31 - 1
# What says nothing without the others.
_TOGETHER = {
    "rehearsal": ("rehearsal_ids", "rehearsal_rank", "lens_entropy"),
    "rehearsal_ids": ("rehearsal",),
    "lens_entropy": ("lens_top_ids", "lens_top_logprobs"),
    "lens_top_ids": ("lens_entropy",),
    "lens_rank": ("target_ids", "lens_entropy"),
    "lens_kl": ("lens_entropy",),
    "sink_mass": ("entropy", "visible"),
    "top_key": ("entropy",),
    "max_prob": ("entropy",),
    "window_entropy": ("window",),
    "received": ("received_head",),
    "vocabulary_ids": ("vocabulary_text",),
    "vocabulary_text": ("vocabulary_ids",),
    "profile_seconds": ("profile_bytes", "profile_outside", "part", "outside"),
}


def check(dataset: xr.Dataset, trace: str) -> None:
    """Raise `TraceError`, which calls the trace `trace`, for the first thing that does not fit."""
    for name, kind in _ATTRIBUTES.items():
        value = dataset.attrs.get(name)
        if value is not None and not isinstance(value, kind):
            raise TraceError(f"{trace}: its attribute {name!r} is not what a trace says there")
    _check_numbers(dataset.attrs, trace)
    for name, words in _WORDS.items():
        if name in dataset.variables:
            found = sorted({str(text) for text in dataset[name].values} - set(words))
            if found:
                raise TraceError(f"{trace}: unknown {name} {found[0][:40]!r}")
    for name, others in _TOGETHER.items():
        missing = [other for other in others if other not in dataset.variables]
        if name in dataset.variables and missing:
            raise TraceError(f"{trace}: it holds {name} without {missing[0]}")
    _check_places(dataset, trace)


def _check_numbers(value: Any, trace: str) -> None:
    """Integers that no float could hold would end a page."""
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            _check_numbers(item, trace)
    elif isinstance(value, int) and abs(value) >= 2**63:
        raise TraceError(f"{trace}: a number in its attributes is out of range")


def _check_places(dataset: xr.Dataset, trace: str) -> None:
    """Tokens and layers that are counted from where a trace counts them."""
    sizes = dataset.sizes
    n = sizes.get("position", 0)
    if n < 1 or sizes.get("layer", 0) < 1 or sizes.get("query", n) != n:
        raise TraceError(f"{trace}: queries, positions and layers do not fit together")
    for name in ("site", "head", "k", *(d for d in sizes if "_head" in str(d))):
        if sizes.get(name, 1) < 1:
            raise TraceError(f"{trace}: no entry along {name}")

    def values(name: str) -> np.ndarray:
        return np.asarray(dataset[name].values, np.int64)

    def refuse(name: str) -> TraceError:
        return TraceError(f"{trace}: the values of {name} do not fit the trace")

    for name in dataset.coords:
        name = str(name)
        if dataset[name].dtype.kind not in "iu" or not dataset[name].size:
            continue
        found = values(name)
        low = -1 if "head" in name or name.endswith("_ids") or name.startswith("byte") else 0
        if found.min() < low or (found.max() > _LARGEST and not name.startswith("byte")):
            raise refuse(name)
        if name in ("position", "query") and not np.array_equal(found, np.arange(n)):
            raise refuse(name)
        if name.startswith(("window_query", "window_key")) and not (
            (np.diff(found) == 1).all() and found[-1] < n
        ):
            raise refuse(name)
        if name in ("map_query", "map_key") and not (
            found[0] == 0 and (np.diff(found) > 0).all() and found[-1] < n
        ):
            raise refuse(name)
