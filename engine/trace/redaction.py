"""Redaction: a trace without its text, where roles and lengths stand for tokens.

What stays: every statistic, where tokens are equal, how many characters each has, the model's name.
Lengths and statistics still reveal something about a text: a redacted trace is not anonymous.
Traces that are compared are redacted together: equal texts get equal numbers in all of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import xarray as xr

from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.readable import is_redacted
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
        order = {part: i for i, part in enumerate(dict.fromkeys(part for part in parts if part))}
        own = [f"segment {order[part] + 1}" if part else "" for part in parts]
        arrays["segment"] = np.array(own, np.dtypes.StringDType())
    arrays |= _numbers(numbering, trace)
    for name, values in arrays.items():
        dataset = dataset.assign({name: xr.Variable(dataset[name].dims, values)})
    names = [name for name in trace.dataset.coords if name in dataset.variables]
    attributes = _redact_attributes(numbering, trace.attrs, note)
    return Trace(dataset.set_coords(names).assign_attrs(attributes))


def _marks(numbering: _Numbering, words: Iterable[str], texts: Iterable[str]) -> Array:
    marks = [numbering.mark(word, text) for word, text in zip(words, texts, strict=True)]
    return np.array(marks, np.dtypes.StringDType())


def _numbers(numbering: _Numbering, trace: Trace) -> ArraysByName:
    """Return the arrays of ids as numbers in the order in which the ids occur."""
    arrays = {}
    for name in (n for n in _IDS if n in trace):
        values = trace[name]
        unique, first, back = np.unique(values, return_index=True, return_inverse=True)
        for i in first.argsort():
            numbering.number(int(unique[i]))
        numbers = np.array([numbering.number(int(i)) for i in unique], values.dtype)
        arrays[name] = numbers[back].reshape(values.shape)
    return arrays


def _redact_attributes(numbering: _Numbering, attrs: Attributes, note: str) -> JsonObject:
    answer = str(attrs.get("answer", ""))
    prompt = cast(JsonObject, dict(attrs.get("prompt") or {}))
    for key in [key for key in prompt if "sha256" in key]:
        digest = str(prompt.pop(key))
        if numbering.texts is not None:  # a page of two traces says whether their prompts are equal
            prompt[key] = numbering.mark("digest", digest)
    notes = [_QUOTED.sub("‹quoted›", str(text)) for text in attrs.get("notes") or []]
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
