"""A trace without its text: each token stands by its role and its length, each id by a number.

What stays: every statistic, where tokens are equal, how many characters each has, the model's name.
Lengths and statistics still tell something of a text; nobody should take them for anonymous.
Traces that are compared are redacted together: numbers then stand for the same text in all of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr

from attentropy.engine.trace.dataset import Trace

NOTE = (
    "texts are left out: a token stands by its role and its length in characters, an id by a "
    "number of this trace's own, the same for the same token"
)
NOTE_TOGETHER = (
    "texts are left out: a token stands by a number, its role and its length in characters; the "
    "number is the same wherever the text is, in A and in B"
)
# In the order in which numbers are given.
_IDS = (
    "token_ids", "generated_ids", "target_ids", "rehearsal_ids", "lens_top_ids", "vocabulary_ids",
)  # fmt: skip
_LEFT_OUT = ("byte_start", "byte_end")
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"|“[^”]*”|‘[^’]*’")


def redacted(trace: Trace) -> Trace:
    """The same trace with texts replaced by `‹role·length›`, lengths in characters, and ids by
    numbers from 0 on that are equal where the ids were; byte offsets and the prompt's digest are
    left out. A trace that is redacted already stays as it is."""
    return trace if is_redacted(trace) else _redacted(trace, _Given(), NOTE)


def redacted_together(*traces: Trace) -> tuple[Trace, ...]:
    """Traces of texts, redacted so that what was equal in two of them still is, and what was not is
    not: a text is `‹number·role·length›`, its number and those of the ids are the same in all; so
    are the numbers that stand for the prompts' digests."""
    given = _Given(texts={})
    return tuple(_redacted(trace, given, NOTE_TOGETHER) for trace in traces)


def is_redacted(trace: Trace) -> bool:
    """Whether a trace holds marks and numbers of its own in place of texts and ids."""
    return trace.attrs.get("redacted") is True


@dataclass
class _Given:
    """Numbers in the order in which ids and texts came up; what is missing (-1) stays. Texts get
    none where `texts` is None."""

    ids: dict[int, int] = field(default_factory=lambda: {-1: -1})
    texts: dict[str, int] | None = None

    def number(self, id: int) -> int:
        return self.ids.setdefault(id, len(self.ids) - 1)

    def mark(self, word: str, text: str) -> str:
        """What stands for a text: ‹content·7›, or ‹12·content·7› with its number."""
        number = "" if self.texts is None else f"{self.texts.setdefault(text, len(self.texts))}·"
        return f"‹{number}{word}·{len(text)}›"


def _redacted(trace: Trace, given: _Given, note: str) -> Trace:
    dataset = trace.dataset.drop_vars([name for name in _LEFT_OUT if name in trace])
    found: dict[str, Any] = {}
    if "token_text" in trace:
        found["token_text"] = _marks(given, trace.roles, trace.tokens)
    for name, word in (("generated_text", "generated"), ("vocabulary_text", "vocabulary")):
        if name in trace:
            texts = [str(text) for text in trace[name]]
            found[name] = _marks(given, [word] * len(texts), texts)
    found |= _numbers(given, trace)
    for name, values in found.items():
        old = dataset[name]
        dataset = dataset.assign({name: xr.Variable(old.dims, values)})
    names = [name for name in trace.dataset.coords if name in dataset.variables]
    attributes = _attributes(given, trace.attrs, note)
    return Trace(dataset.set_coords(names).assign_attrs(attributes))


def _marks(given: _Given, words: Iterable[str], texts: Iterable[str]) -> np.ndarray:
    made = [given.mark(word, text) for word, text in zip(words, texts, strict=True)]
    return np.array(made, np.dtypes.StringDType())


def _numbers(given: _Given, trace: Trace) -> dict[str, np.ndarray]:
    """Ids as numbers in the order in which they come up."""
    found = {}
    for name in (n for n in _IDS if n in trace):
        values = trace[name]
        unique, first, back = np.unique(values, return_index=True, return_inverse=True)
        for i in first.argsort():
            given.number(int(unique[i]))
        numbers = np.array([given.number(int(i)) for i in unique], values.dtype)
        found[name] = numbers[back].reshape(values.shape)
    return found


def _attributes(given: _Given, attrs: dict[str, Any], note: str) -> dict[str, Any]:
    answer = str(attrs.get("answer", ""))
    prompt = dict(attrs.get("prompt") or {})
    for key in [key for key in prompt if "sha256" in key]:
        digest = str(prompt.pop(key))
        if given.texts is not None:  # one prompt or two: a page of both says which
            prompt[key] = given.mark("digest", digest)
    notes = [_QUOTED.sub("‹quoted›", str(said)) for said in attrs.get("notes") or []]
    made: dict[str, Any] = {
        **attrs, "redacted": True, "prompt": prompt, "notes": [*notes, note],
        "answer": given.mark("answer", answer) if answer else "",
    }  # fmt: skip
    if isinstance(attrs.get("partial"), dict):
        made["partial"] = {**attrs["partial"], "reason": None}
    return made
