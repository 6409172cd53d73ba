"""Whether the parts of a stranger's trace fit together: attributes, roles, positions.

What is checked here is read completely when the trace is opened; it is small for any prompt.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr

from attentropy.engine.errors import TraceError
from attentropy.engine.trace.checks.attributes import check_numbers
from attentropy.engine.trace.context import bin_starts
from attentropy.engine.trace.schema import ROLES
from attentropy.engine.trace.statistics import ATTENTION_STATISTICS, WITHOUT_SINKS
from attentropy.engine.trace.thumbnails import THUMBNAIL_TILES
from attentropy.engine.trace.types import Array

# variable -> the words that it may hold
_WORDS = {
    "role": ROLES,
    "site": ("residual", "translated", "attention", "mlp"),
    "part": ("attention", "kernel", "mlp", "other", "lens", "writing"),
    "outside": ("embedding", "norm", "head", "rest", "writing"),
}
_ATTRIBUTE_TYPES: Mapping[str, type] = {
    **dict.fromkeys(("model", "tokenizer", "prompt", "versions", "options", "profile"), dict),
    **dict.fromkeys(("answer", "reasoning", "implementation"), str),
    **dict.fromkeys(("partial", "placebo"), dict), "notes": list, "answer_is_cut": bool,
}  # fmt: skip
_MAX_INTEGER = 2**31 - 1
_TILES = THUMBNAIL_TILES
# variable -> the variables without which it means nothing
_NEEDS = {
    "rehearsal": ("rehearsal_ids", "rehearsal_rank", "lens_entropy"),
    "rehearsal_ids": ("rehearsal",),
    "rehearsal_placebo": ("rehearsal",),
    "reference_entropy": ("reference_tokens",),
    "reference_entropy_without_sinks": ("reference_entropy",),
    "reference_lens_entropy": ("reference_tokens",),
    "lens_entropy": ("lens_top_ids", "lens_top_logprobs"),
    "lens_top_ids": ("lens_entropy",),
    "lens_rank": ("target_ids", "lens_entropy"),
    "lens_kl": ("lens_entropy",),
    **{statistic.name: statistic.needs for statistic in ATTENTION_STATISTICS if statistic.needs},
    "window_entropy": ("window",),
    "received": ("received_head",),
    "answer_attention": ("answer_head",),
    "thumbnail": ("tile_q", "tile_k", "head"),
    "context_mass": (
        "context_bin",
        "context_head",
        "context_reach",
        "context_uniform",
        "cache_heads",
        "cache_bytes",
    ),
    "context_reach": ("context_mass",),
    "cache_bytes": ("cache_heads",),
    "cache_entry": ("cache_heads",),
    "sink_keys": ("received", "visible"),
    # An unfinished run does not have `sink_keys` yet.
    **dict.fromkeys(WITHOUT_SINKS, ("entropy",)),
    "top_key_without_sinks": ("top_key", "entropy"),
    "vocabulary_ids": ("vocabulary_text",),
    "vocabulary_text": ("vocabulary_ids",),
    "profile_seconds": ("profile_bytes", "profile_outside", "part", "outside"),
}


def check_values(dataset: xr.Dataset, trace: str) -> None:
    """Raise `TraceError` for the first part that does not fit; `trace` is the name it gives."""
    for name, kind in _ATTRIBUTE_TYPES.items():
        value = dataset.attrs.get(name)
        if value is not None and not isinstance(value, kind):
            raise TraceError(f"{trace}: its attribute {name!r} is invalid")
    check_numbers(dataset.attrs, trace)
    is_earlier = dataset.attrs.get("format_version") in (1, 2)
    if is_earlier and dataset.attrs.keys() == {"format", "format_version"}:
        # These versions wrote comparisons as if they were recorded, but without provenance.
        raise TraceError(
            f"{trace}: a comparison that an earlier version saved as a trace; "
            "compare its two traces again"
        )
    for name, words in _WORDS.items():
        if name in dataset.variables:
            unknown = sorted({str(text) for text in dataset[name].values} - set(words))
            if unknown:
                raise TraceError(f"{trace}: unknown {name} {unknown[0][:40]!r}")
    for name, others in _NEEDS.items():
        missing = [other for other in others if other not in dataset.variables]
        if name in dataset.variables and missing:
            raise TraceError(f"{trace}: it has {name} but not {missing[0]}")
    _check_sizes(dataset, trace)
    for name in map(str, dataset.coords):
        if dataset[name].dtype.kind in "iu" and dataset[name].size:
            values = np.asarray(dataset[name].values, np.int64)
            if not _is_in_range(name, values) or not _fits(name, values, dataset.sizes["position"]):
                raise TraceError(f"{trace}: the values of {name} do not fit the trace")


def _check_sizes(dataset: xr.Dataset, trace: str) -> None:
    """Raise `TraceError` for an empty dimension, or as many queries as there are no positions."""
    sizes = dataset.sizes
    tokens = sizes.get("position", 0)
    if tokens < 1 or sizes.get("layer", 0) < 1 or sizes.get("query", tokens) != tokens:
        raise TraceError(f"{trace}: queries, positions and layers have inconsistent sizes")
    for name in ("site", "head", "k", *(d for d in sizes if "_head" in str(d))):
        if sizes.get(name, 1) < 1:
            raise TraceError(f"{trace}: {name} is empty")
    if "thumbnail" in dataset.variables:
        tiles = (sizes["tile_q"], sizes["tile_k"])
        if dataset["thumbnail"].dtype != np.uint8 or not 1 <= min(tiles) <= max(tiles) <= _TILES:
            raise TraceError(f"{trace}: thumbnail must be bytes of at most {_TILES} × {_TILES}")


def _is_in_range(name: str, values: Array) -> bool:
    """Return whether the values of an integer coordinate are ones that its kind can have."""
    is_byte_offset = name.startswith("byte")
    may_be_none = (
        "head" in name
        or name.endswith("_ids")
        or is_byte_offset
        or name in ("message", "context_bin")
    )
    low = -1 if may_be_none else 0
    return bool(values.min() >= low and (values.max() <= _MAX_INTEGER or is_byte_offset))


def _fits(name: str, values: Array, tokens: int) -> bool:
    """Return whether a coordinate counts tokens as a trace of so many tokens does."""
    if name in ("position", "query"):
        return np.array_equal(values, np.arange(tokens))
    if name.startswith(("window_query", "window_key")):  # consecutive tokens
        return bool((np.diff(values) == 1).all() and values[-1] < tokens)
    if name in ("map_query", "map_key", "tile_q", "tile_k"):  # the first tokens of tiles
        return bool(values[0] == 0 and (np.diff(values) > 0).all() and values[-1] < tokens)
    if name == "context_bin":
        return np.array_equal(values, bin_starts(tokens)[: len(values)])
    return True
