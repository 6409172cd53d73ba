"""Whether the sources in a stranger's trace fit the trace: spans, words, labels, effects.

They are read completely when the trace is opened, except for the effects by layer; reading them
checks their ranges.
"""

from __future__ import annotations

import math

import numpy as np
import xarray as xr

from attentropy.engine.errors import TraceError
from attentropy.engine.trace.sources import (
    CONTROLS,
    EFFECTS,
    LABELS,
    LEVELS,
    METHODS,
    SPAN_ROLES,
    TESTS,
)
from attentropy.engine.trace.types import Array

_MOST_STEPS = 2**16
_COUNTS = ("draws", "seed", "passes", "not_tested")
_NUMBERS = ("floor", "noise", "predicted_seconds", "seconds")
_TEXTS = ("level", "target", "versus")
_UNTESTED = [LABELS.index("sink"), LABELS.index("not tested")]


def check_sources(sources: xr.Dataset, trace: xr.Dataset, prompt: int, name: str) -> None:
    """Raise `TraceError` where the sources do not fit the trace.

    prompt: its tokens. name: what the message calls the trace.
    """
    try:
        _check_attributes(sources)
        _check_sizes(sources, trace, prompt)
        _check_spans(sources, prompt)
        _check_steps(sources, trace.sizes["position"], prompt)
        _check_words(sources)
        _check_numbers(sources)
        _check_labels(sources)
    except _Unfit as error:
        raise TraceError(f"{name}: its sources do not fit it: {error}") from error


class _Unfit(Exception):
    """What does not fit, in words."""


def _require(is_fit: object, what: str) -> None:
    if not is_fit:
        raise _Unfit(what)


def _check_attributes(sources: xr.Dataset) -> None:
    attrs = sources.attrs
    _require(attrs.get("how") in METHODS, "'how' must be 'hide' or 'remove'")
    for key in _COUNTS:
        value = attrs.get(key, 0)
        _require(type(value) is int and 0 <= value < 2**63, f"the attribute {key!r}")
    for key in _NUMBERS:
        value = attrs.get(key)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        _require(value is None or (is_number and 0 <= value < math.inf), f"the attribute {key!r}")
    for key in _TEXTS:
        _require(isinstance(attrs.get(key), str | None), f"the attribute {key!r}")
    notes = attrs.get("notes", [])
    are_texts = isinstance(notes, list) and all(isinstance(note, str) for note in notes)
    _require(are_texts, "the attribute 'notes'")


def _check_sizes(sources: xr.Dataset, trace: xr.Dataset, prompt: int) -> None:
    """Refuse sizes before anything of such a size is read."""
    sizes = sources.sizes
    for dim in ("span", "step", "word"):
        _require(sizes.get(dim, 0) >= 1, f"no {dim}")
    _require(sizes["span"] <= len(LEVELS) * prompt, "more spans than the prompt has")
    _require(
        sizes["step"] <= _MOST_STEPS and sizes["word"] <= sizes["step"], "more words than steps"
    )
    _require(sizes.get("layer", 1) <= trace.sizes["layer"], "more layers than the trace has")
    if "layer" in sources:
        layers = sources["layer"].values
        is_there = np.isin(layers, trace["layer"].values).all()
        _require(is_there and _ascends(layers), "layers that the trace does not have")


def _check_spans(sources: xr.Dataset, prompt: int) -> None:
    start, stop = (sources[name].values.astype(np.int64) for name in ("span_start", "span_stop"))
    inside = (start >= 0) & (start < stop) & (stop <= prompt)
    _require(inside.all(), "a span leaves the prompt")
    levels = np.array([str(level) for level in sources["span_level"].values])
    for name, words in (("span_level", LEVELS), ("span_role", SPAN_ROLES)):
        unknown = sorted({str(text) for text in sources[name].values} - set(words))
        _require(not unknown, f"unknown {name} {unknown[0][:40]!r}" if unknown else "")
    if "span_refined" in sources:
        refined = sources["span_refined"].values
        _require(np.isin(refined, (0, 1)).all(), "span_refined is not 0 or 1")
    for level in LEVELS:
        order = np.argsort(start[levels == level], kind="stable")
        first, last = start[levels == level][order], stop[levels == level][order]
        _require((first[1:] >= last[:-1]).all(), "spans of one level overlap")


def _check_steps(sources: xr.Dataset, positions: int, prompt: int) -> None:
    at = sources["step_position"].values
    if sources.attrs.get("target"):
        _require((at == -1).all(), "a step of another text has a position")
    else:
        _require(at[0] >= prompt and at[-1] < positions and _ascends(at), "a step has no position")
    _require((sources["step_ids"].values >= 0).all(), "a step has no token")


def _check_words(sources: xr.Dataset) -> None:
    start, stop = (sources[name].values for name in ("word_start", "word_stop"))
    inside = (start >= 0) & (start < stop) & (stop <= sources.sizes["step"])
    _require(inside.all() and (start[1:] >= stop[:-1]).all(), "words overlap or leave the answer")
    _require(np.isin(sources["word_decisive"].values, (0, 1)).all(), "word_decisive is not 0 or 1")


def _check_numbers(sources: xr.Dataset) -> None:
    logprob = sources["logprob"].values
    _require(np.isfinite(logprob).all(), "no log-probability")
    for name in EFFECTS:
        if name in sources:
            missing = np.isnan(sources[name].values)
            _require((missing.all(1) | ~missing.any(1)).all(), f"{name} lacks some steps of a span")
    for low, high in CONTROLS:
        _require((low in sources) == (high in sources), f"{low} without {high}")
        if low in sources:
            ends = sources[low].values, sources[high].values
            alike = np.isnan(ends[0]) == np.isnan(ends[1])
            _require((alike & ~(ends[0] > ends[1])).all(), f"{low} is above {high}")
    for name in ("control_draws", "attention_mass", "effect_versus"):
        if name in sources:
            sources[name].values  # noqa: B018 - reading checks it
    for name in ("effect_all_evidence", "effect_template"):
        if name in sources:
            missing = np.isnan(sources[name].values)
            _require(missing.all() or not missing.any(), f"{name} lacks some steps")


def _check_labels(sources: xr.Dataset) -> None:
    labels = sources["label"].values
    _require(((labels >= 0) & (labels < len(LABELS))).all(), "unknown label")
    present = [name for name in TESTS if name in sources]
    tested = np.zeros(sources.sizes["span"], bool)
    for name in present:
        tested |= ~np.isnan(sources[name].values).any(1)
    _require(np.isin(labels[~tested], _UNTESTED).all(), "a span without a test has a label")


def _ascends(values: Array) -> bool:
    return bool((np.diff(values.astype(np.int64)) > 0).all())
