"""Where the reasoning is in a text: between the markers that models write around it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from attentropy.engine.prompt.tokens import Span

# Opening and closing markers, as the chat templates of today write them.
MARKERS = (
    ("<think>", "</think>"), ("<thinking>", "</thinking>"), ("<thought>", "</thought>"),
    ("<seed:think>", "</seed:think>"), ("[THINK]", "[/THINK]"),
    ("<|START_THINKING|>", "<|END_THINKING|>"), ("<|inner_prefix|>", "<|inner_suffix|>"),
    ("<|channel|>analysis<|message|>", "<|end|>"), ("<|channel>thought\n", "<channel|>"),
)  # fmt: skip
# Keys of a message under which its reasoning stands apart from its content.
KEYS = ("reasoning_content", "reasoning", "thinking")

_OPENING = dict(MARKERS)
_CLOSING = {closing for _, closing in MARKERS} - {"<|end|>"}  # which ends other things too
_BEFORE = 16  # tokens of the prompt that may hold the marker at its end
# What gpt-oss writes before each part of its answer: to whom it speaks, and in which channel.
_HEADER = re.compile(
    r"(?:<\|start\|>[^<]*)?<\|channel\|>[^<]*(?:<\|constrain\|>[^<]*)?<\|message\|>"
)


def split_reasoning(text: str, *, is_open: bool = False) -> list[tuple[str, Span]]:
    """Return the runs of a text, without the markers: "content" or "reasoning", and where it is.

    A closing marker with no opening one before it ends reasoning that began before the text: many
    templates write the opening marker at the end of the prompt. is_open: whether it did.
    """
    runs: list[tuple[str, Span]] = []
    start, closing = 0, "" if is_open else None
    for match in _pattern.finditer(text):
        marker = match.group()
        if closing is None and marker in _OPENING:
            role, closing = "content", _OPENING[marker]
        elif closing == marker or (closing == "" and marker in _CLOSING):
            role, closing = "reasoning", None
        elif closing is None and marker in _CLOSING and not any(r == "reasoning" for r, _ in runs):
            role = "reasoning"
        else:
            continue
        runs.append((role, (start, match.start())))
        start = match.end()
    runs.append(("content" if closing is None else "reasoning", (start, len(text))))
    return [(role, (a, b)) for role, (a, b) in runs if text[a:b].strip()]


def has_marker(text: str) -> bool:
    """Return whether a marker of reasoning stands in a text."""
    return _pattern.search(text) is not None


def leaves_reasoning_open(text: str) -> bool:
    """Return whether a prompt ends within reasoning, so that the answer begins with it."""
    opened = [text.rfind(opening) for opening, _ in MARKERS]
    last, (opening, closing) = max(zip(opened, MARKERS, strict=True))
    return last >= 0 and not text[last + len(opening) :].strip() and closing not in text[last:]


def answer_parts(tokens: Sequence[str], start: int, *, has_ended: bool = False) -> list[str]:
    """Return what each generated token is: "reasoning", "content" or "marker".

    A token is reasoning if all of it is between two markers, or after one that the answer never
    closes; the prompt may have opened the first. tokens: the texts of prompt and answer, of which
    the answer begins at `start`. has_ended: whether its last token is the end of the turn.
    """
    before, tokens = "".join(tokens[max(0, start - _BEFORE) : start]), tokens[start:]
    text = "".join(tokens)
    parts = ["marker"] * len(text)
    for role, (start, stop) in split_reasoning(text, is_open=leaves_reasoning_open(before)):
        parts[start:stop] = [role] * (stop - start)
    for header in _HEADER.finditer(text):
        parts[header.start() : header.end()] = ["marker"] * len(header.group())
    own: list[str] = []
    at = 0
    for token in tokens:
        among = set(parts[at : at + len(token)])
        at += len(token)
        if not among:  # the rest of a character
            own.append(own[-1] if own else "content")
        elif among == {"reasoning"}:
            own.append("reasoning")
        else:
            own.append("content" if "content" in among else "marker")
    if has_ended:
        own[-1] = "marker"
    return own


def answer_roles(parts: Iterable[str]) -> list[str]:
    """Return the role of each generated token; `parts` are those of `answer_parts`."""
    return ["reasoning" if part == "reasoning" else "generated" for part in parts]


_pattern = re.compile("|".join(re.escape(m) for pair in MARKERS for m in pair))
