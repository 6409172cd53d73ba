"""The group `sources` of a trace: which spans of the prompt each word of the answer depends on.

Effects are ln p with a span hidden minus ln p without, in nats: negative where the span supports
the token. Each [span, step] row is complete, or NaN where the span was not tested that way.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from attentropy.engine.errors import TraceError
from attentropy.engine.trace.types import Dims, Form, Schema

GROUP = "groups/sources"  # of a trace's store; see `consolidated.GROUPS`

# What a label's number stands for. The first that applies is the span's, "not tested" and "sink"
# before all others.
LABELS = (
    "source", "also there", "through other tokens", "works against the word",
    "attended, no effect", "sink", "not tested", "no effect",
)  # fmt: skip
# The levels that divide one another, the coarsest first.
DIVISIONS = ("message", "paragraph", "sentence", "word")
AUTO, SEGMENT = "auto", "segment"
LEVELS = (*DIVISIONS, SEGMENT, "template")
# What a caller may ask for: words of a question and sentences of a document, or one level.
LEVEL_CHOICES = (AUTO, *DIVISIONS, SEGMENT)
SPAN_ROLES = ("asks", "evidence", "instruction", "template", "sink")
METHODS = ("hide", "remove")

_CELL: Dims = ("span", "step")
_WORD: Dims = ("span", "word")

# [span, step]: a row is complete or NaN.
EFFECTS = (
    "effect_direct", "effect_with_copies", "effect_total", "effect_remove", "effect_sufficient",
    "effect_copies",
)  # fmt: skip
# Those of which one is there for a span that has been tested.
TESTS = EFFECTS[:4]
# Ends of the same interval, NaN where there is no control.
CONTROLS = (("control_low", "control_high"), ("control_total_low", "control_total_high"))

SCHEMA: Schema = {
    "span_start": (("span",), "i"),
    "span_stop": (("span",), "i"),
    "span_level": (("span",), "s"),
    "span_role": (("span",), "s"),
    "span_id": (("span",), "s"),
    "span_refined": (("span",), "i"),
    "step_text": (("step",), "s"),
    "step_ids": (("step",), "i"),
    "step_position": (("step",), "i"),
    "word_start": (("word",), "i"),
    "word_stop": (("word",), "i"),
    "word_decisive": (("word",), "i"),
    "layer": (("layer",), "i"),
    "logprob": (("step",), "f"),
    **dict.fromkeys(EFFECTS, (_CELL, "f")),
    "effect_from_layer": (("span", "layer", "step"), "f"),
    "effect_all_evidence": (("step",), "f"),
    "effect_template": (("step",), "f"),
    "effect_versus": (("span",), "f"),
    **{name: (_WORD, "f") for ends in CONTROLS for name in ends},
    "control_draws": (("span",), "i"),
    "attention_mass": (("span",), "f"),
    "label": (_WORD, "i"),
}

# Without these there are no sources; what else is missing was not measured.
REQUIRED = (
    "span_start", "span_stop", "span_level", "span_role", "span_id", "step_text", "step_ids",
    "step_position", "word_start", "word_stop", "word_decisive", "logprob", "label",
)  # fmt: skip

SOURCES = Form(
    "attentropy.sources", 1, "the sources of an answer", "open their trace with Trace.open", SCHEMA
)
_DTYPES: dict[str, Any] = {
    "f": np.dtype(np.float32),
    "i": np.dtype(np.int32),
    "s": np.dtypes.StringDType(),
}
_KINDS = {"f": "f", "i": "iub", "s": "TUO"}


def as_sources(dataset: xr.Dataset) -> xr.Dataset:
    """Return a dataset of sources in the types in which it is stored; `layer` is its coordinate.

    What has these types already is not read. Raises `TraceError` where a variable is missing or
    unknown, or has other dimensions or another kind of values.
    """
    for name in REQUIRED:
        if name not in dataset.variables:
            raise TraceError(f"the sources are incomplete: {name!r} is missing")
    typed: dict[str, Any] = {}
    for key, variable in dataset.variables.items():
        name = str(key)
        if name not in SCHEMA:
            raise TraceError(f"the sources have an unknown variable {name[:40]!r}")
        dims, kind = SCHEMA[name]
        if variable.dims != dims:
            raise TraceError(f"{name!r} of the sources has dimensions {variable.dims}, not {dims}")
        if variable.dtype.kind not in _KINDS[kind]:
            raise TraceError(f"{name!r} of the sources has type {variable.dtype}, expected {kind}")
        dtype = np.dtype(np.int8) if name == "label" else _DTYPES[kind]
        typed[name] = variable if variable.dtype == dtype else variable.astype(dtype)
    if "effect_from_layer" in typed and "layer" not in typed:
        raise TraceError("the sources are incomplete: 'layer' is missing")
    coordinates = ["layer"] if "layer" in typed else []
    return xr.Dataset(typed, attrs=dataset.attrs).set_coords(coordinates)


def completed(sources: xr.Dataset) -> xr.Dataset:
    """Return sources with every variable of the schema: NaN, 0 or "" for what was not measured."""
    sizes: dict[str, int] = {"layer": 0, **{str(dim): n for dim, n in sources.sizes.items()}}
    missing: dict[str, Any] = {}
    for name, (dims, kind) in SCHEMA.items():
        if name not in sources.variables:
            fill = {"f": np.nan, "i": 0, "s": ""}[kind]
            shape = tuple(sizes[dim] for dim in dims)
            missing[name] = (dims, np.full(shape, fill, _DTYPES[kind]))
    return sources.assign(missing)


def stored_sources(sources: xr.Dataset) -> xr.Dataset:
    """Return sources as they are stored: their attributes say format and version."""
    form = {"format": SOURCES.name, "format_version": SOURCES.version}
    return sources.assign_attrs(sources.attrs | form)
