"""Redaction: a trace without its text, where roles and lengths stand for tokens.

What stays: every statistic, where tokens are equal, how many characters each has, the model's name.
Lengths and statistics still reveal something about a text: a redacted trace is not anonymous.
Traces that are compared are redacted together: equal texts get equal numbers in all of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import xarray as xr

from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.readable import is_redacted
from attentropy.engine.trace.text import text_array
from attentropy.engine.trace.types import Array, ArraysByName, Attributes, JsonObject

NOTE = (
    "text is redacted: each token is shown as its role and its length in characters, and token ids "
    "are replaced by numbers, the same number for the same token"
)
NOTE_TOGETHER = (
    "text is redacted: each token is shown as a number, its role and its length in characters, the "
    "same number for the same text in A and in B"
)
# In the order in which numbers are assigned.
_IDS = (
    "token_ids", "generated_ids", "target_ids", "rehearsal_ids", "lens_top_ids", "vocabulary_ids",
)  # fmt: skip
_DROPPED = ("byte_start", "byte_end")
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"|“[^”]*”|‘[^’]*’")


def redact(trace: Trace) -> Trace:
    """Return the trace with `‹role·length›` in place of texts, and numbers in place of ids.

    Lengths are in characters; numbers count from 0 and are equal where the ids were. Byte offsets
    and the prompt's digest are dropped. A trace that is redacted already stays as it is.
    """
    return trace if is_redacted(trace) else _redact(trace, _Numbering(), NOTE)


def redact_together(*traces: Trace) -> tuple[Trace, ...]:
    """Return the traces redacted so that texts equal in two of them stay equal, and others differ.

    A text becomes `‹number·role·length›`. Its number and those of the ids are shared by all traces,
    as are the numbers that stand for the prompts' digests.
    """
    numbering = _Numbering(texts={})
    return tuple(_redact(trace, numbering, NOTE_TOGETHER) for trace in traces)


@dataclass
class _Numbering:
    """Numbers for ids and texts, in the order in which they first occur.

    A missing id (-1) stays. Texts get no numbers where `texts` is None.
    """

    ids: dict[int, int] = field(default_factory=lambda: {-1: -1})
    texts: dict[str, int] | None = None

    def number(self, id: int) -> int:
        return self.ids.setdefault(id, len(self.ids) - 1)

    def mark(self, word: str, text: str) -> str:
        """Return the mark that stands for a text: ‹content·7›, or ‹12·content·7› if numbered."""
        number = "" if self.texts is None else f"{self.texts.setdefault(text, len(self.texts))}·"
        return f"‹{number}{word}·{len(text)}›"


def _redact(trace: Trace, numbering: _Numbering, note: str) -> Trace:
    dataset = trace.dataset.drop_vars([name for name in _DROPPED if name in trace])
    arrays: ArraysByName = {}
    if "token_text" in trace:
        arrays["token_text"] = _marks(numbering, trace.roles, trace.tokens)
    for name, word in (("generated_text", "generated"), ("vocabulary_text", "vocabulary")):
        if name in trace:
            texts = [str(text) for text in trace[name]]
            arrays[name] = _marks(numbering, [word] * len(texts), texts)
    if "segment" in trace:
        parts = [str(part) for part in trace["segment"]]
        arrays["segment"] = _segment_names(parts, _segment_order(parts))
    arrays |= _numbers(numbering, trace)
    for name, values in arrays.items():
        dataset = dataset.assign({name: xr.Variable(dataset[name].dims, values)})
    names = [name for name in trace.dataset.coords if name in dataset.variables]
    attributes = _redact_attributes(numbering, trace.attrs, note)
    sources = None if trace.sources is None else _redact_sources(numbering, trace)
    return Trace(dataset.set_coords(names).assign_attrs(attributes), sources)


def _redact_sources(numbering: _Numbering, trace: Trace) -> xr.Dataset:
    """Return the sources with marks and numbers; a span has the name that its segment has now."""
    sources = trace.sources
    assert sources is not None
    texts = [str(text) for text in sources["step_text"].values]
    segments = [str(part) for part in trace["segment"]] if "segment" in trace else []
    ids = [str(id) for id in sources["span_id"].values]
    arrays: ArraysByName = {
        "step_text": _marks(numbering, ["generated"] * len(texts), texts),
        "step_ids": _numbered(numbering, sources["step_ids"].values),
        "span_id": _segment_names(ids, _segment_order([*segments, *ids])),
    }
    attrs: JsonObject = dict(sources.attrs)
    attrs["notes"] = _without_quotes(attrs.get("notes") or [])
    for name in ("target", "versus"):
        if attrs.get(name):
            attrs[name] = numbering.mark(name, str(attrs[name]))
    redacted = {name: (sources[name].dims, values) for name, values in arrays.items()}
    return sources.assign(redacted).assign_attrs(attrs)


def _segment_order(parts: Iterable[str]) -> dict[str, int]:
    """Return the numbers of the segments, from 1 on in the order in which they occur."""
    return {part: i for i, part in enumerate(dict.fromkeys(part for part in parts if part), 1)}


def _segment_names(parts: Iterable[str], order: dict[str, int]) -> Array:
    return text_array(f"segment {order[part]}" if part else "" for part in parts)


def _without_quotes(texts: Iterable[Any]) -> list[str]:
    return [_QUOTED.sub("‹quoted›", str(text)) for text in texts]


def _marks(numbering: _Numbering, words: Iterable[str], texts: Iterable[str]) -> Array:
    pairs = zip(words, texts, strict=True)
    return text_array(numbering.mark(word, text) for word, text in pairs)


def _numbers(numbering: _Numbering, trace: Trace) -> ArraysByName:
    """Return the arrays of ids as numbers in the order in which the ids occur."""
    return {name: _numbered(numbering, trace[name]) for name in _IDS if name in trace}


def _numbered(numbering: _Numbering, values: Array) -> Array:
    unique, first, back = np.unique(values, return_index=True, return_inverse=True)
    for i in first.argsort():
        numbering.number(int(unique[i]))
    numbers = np.array([numbering.number(int(i)) for i in unique], values.dtype)
    return numbers[back].reshape(values.shape)


def _redact_attributes(numbering: _Numbering, attrs: Attributes, note: str) -> JsonObject:
    answer = str(attrs.get("answer", ""))
    prompt = cast(JsonObject, dict(attrs.get("prompt") or {}))
    for key in [key for key in prompt if "sha256" in key]:
        digest = str(prompt.pop(key))
        if numbering.texts is not None:  # a page of two traces says whether their prompts are equal
            prompt[key] = numbering.mark("digest", digest)
    notes = _without_quotes(attrs.get("notes") or [])
    redacted: JsonObject = {
        **attrs, "redacted": True, "prompt": prompt, "notes": [*notes, note],
        "answer": numbering.mark("answer", answer) if answer else "",
    }  # fmt: skip
    if reasoning := str(attrs.get("reasoning", "")):
        redacted["reasoning"] = numbering.mark("reasoning", reasoning)
    if isinstance(placebo := attrs.get("placebo"), dict) and "why_not" in placebo:
        why_not = _QUOTED.sub("‹quoted›", str(placebo["why_not"]))
        redacted["placebo"] = {**placebo, "why_not": why_not}
    if isinstance(attrs.get("partial"), dict):
        redacted["partial"] = {**attrs["partial"], "reason": None}
    return redacted
