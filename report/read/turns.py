"""The turns of a text: who speaks where, and which tokens the template adds."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, replace
from itertools import accumulate

import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.derived import once_per_trace
from attentropy.report.read.generated_tokens import markers
from attentropy.report.units import count

WORDS, TEMPLATE, SYSTEM, REASONING, IMAGE = "words", "template", "system", "reasoning", "image"
_OF_TEMPLATE = ("template", "bos", "eos", "padding")
# A role's name after a marker, as templates write it: `<|im_start|>user`, `### Response:`.
_NAME = re.compile(
    r"(?:\A|[>\]#:\n])[ ]*(system|developer|user|human|assistant|model|bot|tool|ipython|function|"
    r"instruction|response)(?=[\s<:\[\]|]|\Z)",
    re.IGNORECASE,
)
_MARKER = re.compile(r"[<\[]\W*([^<>\[\]]*?)\W*[>\]]")
_SYSTEM_NAMES = ("system", "developer")
_LETTERS = 24


@dataclass(frozen=True)
class Turn:
    """The tokens start … stop−1. `name` is the role of a template's or a system turn, or "".

    kind: "words", "template", "system" (with its words), "reasoning" or "image".
    """

    start: int
    stop: int
    kind: str
    name: str = ""

    @property
    def label(self) -> str:
        """The turn in few words, with its number of tokens."""
        if self.kind == SYSTEM:
            return f"{self.name} · {count(self.stop - self.start, 'token')}"
        tokens = self.stop - self.start
        return self.name if self.name and tokens == 1 else f"{self.name or self.kind} · {tokens:,}"


@once_per_trace
def turns(trace: Trace) -> list[Turn]:
    """Return the turns of prompt and answer; together they are all tokens."""
    parts: list[Turn] = []
    tokens = trace.tokens
    for start, stop, kind in _runs(trace):
        if kind == TEMPLATE and start < trace.prompt_tokens:
            parts += _named(tokens, start, stop)
        else:
            name = _bare(tokens[start]) if kind == TEMPLATE and stop - start == 1 else ""
            parts.append(Turn(start, stop, kind, name))
    return _joined(parts)


def _runs(trace: Trace) -> list[tuple[int, int, str]]:
    """Return the longest runs of tokens of one kind, of one message, of prompt or answer."""
    roles = trace["role"]
    n = len(roles)
    if not n:
        return []
    kinds = np.full(n, WORDS, dtype="U9")
    kinds[np.isin(roles, _OF_TEMPLATE) | markers(trace)] = TEMPLATE
    kinds[roles == "reasoning"] = REASONING
    kinds[roles == "image"] = IMAGE
    is_new = np.append(True, kinds[1:] != kinds[:-1])
    if trace.prompt_tokens < n:
        is_new[trace.prompt_tokens] = True
    if "message" in trace:
        messages = trace["message"]
        is_new[1:] |= (messages[1:] != messages[:-1]) & (kinds[1:] == WORDS)
    starts = np.flatnonzero(is_new).tolist()
    return [(a, b, str(kinds[a])) for a, b in zip(starts, [*starts[1:], n], strict=True)]


def _named(tokens: list[str], start: int, stop: int) -> list[Turn]:
    """Return a run of template tokens as one turn for each role that it names.

    Each begins at the marker before the name; what stands before the first one is a turn without
    a name.
    """
    run = tokens[start:stop]
    places = [0, *accumulate(map(len, run))]
    text = "".join(run)
    names = [(match.start(1), match[1].lower()) for match in _NAME.finditer(text)]
    if not names:
        return [Turn(start, stop, TEMPLATE, _bare(run[0]) if len(run) == 1 else "")]
    begins = []
    for place, _ in names:
        token = bisect_right(places, place) - 1
        before = token - 1
        while before > 0 and not run[before].strip():
            before -= 1
        is_marked = before >= 0 and run[before].strip()[-1:] in (">", "]", "#")
        begins.append(before if is_marked else token)
    edges = [*(start + at for at in begins), stop]
    lead = [Turn(start, edges[0], TEMPLATE)] if edges[0] > start else []
    return lead + [
        Turn(a, b, SYSTEM if name in _SYSTEM_NAMES else TEMPLATE, name)
        for a, b, (_, name) in zip(edges, edges[1:], names, strict=False)
        if a < b
    ]


def _joined(parts: list[Turn]) -> list[Turn]:
    """Let a system turn reach to the next role's marker, and any other lead belong to its role."""
    joined: list[Turn] = []
    for part in parts:
        last = joined[-1] if joined else None
        is_own = part.kind == REASONING or (part.kind == TEMPLATE and bool(part.name))
        if last is not None and last.kind == SYSTEM and not is_own:
            joined[-1] = replace(last, stop=part.stop)
        elif (
            last is not None
            and last.kind == TEMPLATE
            and not last.name
            and (part.kind in (TEMPLATE, SYSTEM) and part.name)
        ):
            joined[-1] = replace(part, start=last.start)
        else:
            joined.append(part)
    return joined


def _bare(text: str) -> str:
    """Return what a marker says, without its brackets; "" for another text."""
    match = _MARKER.fullmatch(text.strip())
    return match[1][:_LETTERS] if match else ""
