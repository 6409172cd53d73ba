"""A trace without its text: each token stands by its role and its length, each id by a number.

What stays: every statistic, where tokens are equal, how many characters each has, the model's name.
Lengths and statistics still tell something of a text; nobody should take them for anonymous.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import numpy as np
import xarray as xr

from attentropy.engine.trace import Trace

NOTE = (
    "texts are left out: a token stands by its role and its length in characters, an id by a "
    "number of this trace's own, the same for the same token"
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
    if trace.attrs.get("redacted") is True:
        return trace
    dataset = trace.dataset.drop_vars([name for name in _LEFT_OUT if name in trace])
    found: dict[str, Any] = {}
    if "token_text" in trace:
        found["token_text"] = _marks(trace.roles, trace.tokens)
    for name, word in (("generated_text", "generated"), ("vocabulary_text", "vocabulary")):
        if name in trace:
            texts = [str(text) for text in trace[name]]
            found[name] = _marks([word] * len(texts), texts)
    found |= _numbers(trace)
    for name, values in found.items():
        old = dataset[name]
        dataset = dataset.assign({name: xr.Variable(old.dims, values)})
    names = [name for name in trace.dataset.coords if name in dataset.variables]
    return Trace(dataset.set_coords(names).assign_attrs(_attributes(trace.attrs)))


def mark(word: str, text: str) -> str:
    """What stands for a text: ‹content·7›."""
    return f"‹{word}·{len(text)}›"


def _marks(words: Iterable[str], texts: Iterable[str]) -> np.ndarray:
    made = [mark(word, text) for word, text in zip(words, texts, strict=True)]
    return np.array(made, np.dtypes.StringDType())


def _numbers(trace: Trace) -> dict[str, np.ndarray]:
    """Ids as numbers in the order in which they come up; what is missing (-1) stays."""
    given: dict[int, int] = {-1: -1}
    found = {}
    for name in (n for n in _IDS if n in trace):
        values = trace[name]
        unique, first, back = np.unique(values, return_index=True, return_inverse=True)
        for i in first.argsort():
            given.setdefault(int(unique[i]), len(given) - 1)
        numbers = np.array([given[int(i)] for i in unique], values.dtype)
        found[name] = numbers[back].reshape(values.shape)
    return found


def _attributes(attrs: dict[str, Any]) -> dict[str, Any]:
    answer = str(attrs.get("answer", ""))
    prompt = {k: v for k, v in dict(attrs.get("prompt") or {}).items() if "sha256" not in k}
    notes = [_QUOTED.sub("‹quoted›", str(note)) for note in attrs.get("notes") or []]
    made: dict[str, Any] = {
        **attrs, "redacted": True, "prompt": prompt, "notes": [*notes, NOTE],
        "answer": mark("answer", answer) if answer else "",
    }  # fmt: skip
    if isinstance(attrs.get("partial"), dict):
        made["partial"] = {**attrs["partial"], "reason": None}
    return made
