"""A prompt with its answer as the tests read it, and what each part of the prompt is for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise

import numpy as np

from attentropy.engine.trace.content_words import word_keys
from attentropy.engine.trace.segments import QUESTION
from attentropy.engine.trace.text_parts import is_item, is_question, paragraph_starts
from attentropy.engine.trace.types import Array
from attentropy.engine.trace.units import starts_part

ASKS, EVIDENCE, INSTRUCTION, TEMPLATE = "asks", "evidence", "instruction", "template"
_SYSTEM = ("system", "developer")
_INSTRUCTIONS = {"system", "instruction", "instructions", "tools"}
_LEAST_WORDS = 3  # of a system turn that a chat template writes by itself


@dataclass(frozen=True)
class Layout:
    """The tokens of a prompt and of its answer, without the markers that end the answer.

    tokens, roles, byte_spans: of prompt and answer; messages and segments: of the prompt, -1 and
    "" for none, empty where no token has one. message_roles: the role of each message. special:
    positions of special tokens in the prompt.
    """

    tokens: Sequence[str]
    roles: Sequence[str]
    prompt_tokens: int
    messages: Sequence[int] = ()
    segments: Sequence[str] = ()
    message_roles: Sequence[str] = ()
    byte_spans: Array | None = None
    special: frozenset[int] = field(default_factory=frozenset)

    @property
    def steps(self) -> int:
        """How many tokens the answer has."""
        return len(self.tokens) - self.prompt_tokens

    def message_of(self, token: int) -> int:
        """Return the number of a prompt token's message, -1 for none."""
        return int(self.messages[token]) if len(self.messages) else -1

    def segment_of(self, token: int) -> str:
        """Return the name of a prompt token's segment, "" for none."""
        return str(self.segments[token]) if len(self.segments) else ""

    def text(self, start: int, stop: int) -> str:
        """Return the text of the tokens [start, stop)."""
        return "".join(self.tokens[start:stop])

    def cuts(self, start: int, stop: int, boundaries: Sequence[int]) -> list[tuple[int, int]]:
        """Return the parts [start, stop) of a run of tokens, cut at places of its text."""
        own = slice(start, stop)
        spans = None if self.byte_spans is None else self.byte_spans[own]
        same = [""] * (stop - start)
        first = np.flatnonzero(starts_part(self.tokens[own], boundaries, same, spans)) + start
        return list(pairwise([*first.tolist(), stop]))


@dataclass(frozen=True)
class Region:
    """A run of prompt tokens [start, stop) of one message, one segment and one role."""

    start: int
    stop: int
    role: str
    message: int = -1
    segment: str = ""


def regions(layout: Layout) -> list[Region]:
    """Return the regions of a prompt in order, without its template."""
    names = token_roles(layout)
    keys = [
        (names[i], layout.message_of(i), layout.segment_of(i)) for i in range(layout.prompt_tokens)
    ]
    starts = [i for i in range(len(keys)) if not i or keys[i] != keys[i - 1]]
    return [
        Region(a, b, *keys[a])
        for a, b in pairwise([*starts, len(keys)])
        if keys[a][0] != TEMPLATE
    ]  # fmt: skip


def token_roles(layout: Layout) -> list[str]:
    """Return what each token of the prompt is for: asks, evidence, instruction or template."""
    count = layout.prompt_tokens
    is_word = [role in ("content", "reasoning", "image") for role in layout.roles[:count]]
    names = [EVIDENCE if own else TEMPLATE for own in is_word]
    for i in _own_system_turn(layout, is_word):
        names[i] = INSTRUCTION
    for i in np.flatnonzero(is_word).tolist():
        message, segment = layout.message_of(i), layout.segment_of(i)
        is_system = 0 <= message < len(layout.message_roles) and (
            layout.message_roles[message] in _SYSTEM
        )
        if segment == QUESTION:
            names[i] = ASKS
        elif segment.casefold() in _INSTRUCTIONS or (is_system and not segment):
            names[i] = INSTRUCTION
    if ASKS not in names:
        _divide_last_message(layout, is_word, names)
    return names


def _own_system_turn(layout: Layout, is_word: Sequence[bool]) -> range:
    """Return the tokens of a system turn that the chat template writes by itself.

    It is the longest run of words between special tokens before the first message.
    """
    first = next((i for i, own in enumerate(is_word) if own), 0)
    edges = [-1, *sorted(i for i in layout.special if i < first), first]
    runs = [range(a + 1, b) for a, b in pairwise(edges)] if layout.special else []
    longest = max(runs, key=len, default=range(0))
    if len(word_keys(layout.text(longest.start, longest.stop))) <= _LEAST_WORDS:
        return range(0)
    name, _, rest = layout.text(longest.start, longest.stop).partition("\n")
    if rest.strip() and name.strip() in _SYSTEM:  # the first line is the turn's name
        parts = layout.cuts(longest.start, longest.stop, [len(name) + 1])
        return range(parts[-1][0], longest.stop)
    return longest


def _divide_last_message(layout: Layout, is_word: Sequence[bool], names: list[str]) -> None:
    """Say which paragraph of the last message asks, and which instruct.

    The last question asks; without one, a first paragraph that ends with a colon, or else the last
    paragraph. Paragraphs next to a list's items or to named segments are no evidence.
    """
    own = [i for i, word in enumerate(is_word) if word and names[i] != INSTRUCTION]
    last = max(map(layout.message_of, own), default=-1)
    of_message = [i for i in own if layout.message_of(i) == last]
    parts = [part for run in runs(of_message) for part in _paragraphs(layout, run)]
    texts = [layout.text(a, b) for a, b in parts]
    is_source = [
        bool(layout.segment_of(a)) or (is_item(text) and not is_question(text))
        for (a, _), text in zip(parts, texts, strict=True)
    ]  # fmt: skip
    if len(parts) > 1 and sum(is_source) == 1 and not any(layout.segment_of(a) for a, _ in parts):
        is_source = [False] * len(parts)  # one item is no list
    free = [i for i, source in enumerate(is_source) if not source]
    if not free:
        if not any(layout.segment_of(a) for a, _ in parts):  # the list is all that there is
            for a, b in parts:
                names[a:b] = [ASKS] * (b - a)
        return
    asking = [i for i in free if is_question(texts[i])]
    is_announced = texts[free[0]].rstrip().endswith((":", "："))
    asks = asking[-1] if asking else free[0] if is_announced else free[-1]
    for i in free:
        if i == asks:
            names[slice(*parts[i])] = [ASKS] * (parts[i][1] - parts[i][0])
        elif any(is_source) or texts[i].rstrip().endswith((":", "：")):
            names[slice(*parts[i])] = [INSTRUCTION] * (parts[i][1] - parts[i][0])


def runs(tokens: Sequence[int]) -> list[tuple[int, int]]:
    """Return the runs [start, stop) of consecutive tokens, in order."""
    own = sorted(set(tokens))
    starts = [i for i, token in enumerate(own) if not i or token != own[i - 1] + 1]
    return [(own[a], own[b - 1] + 1) for a, b in pairwise([*starts, len(own)]) if a < b]


def _paragraphs(layout: Layout, run: tuple[int, int]) -> list[tuple[int, int]]:
    """Return the paragraphs of a run of tokens, cut where a segment begins or ends too."""
    tokens = layout.tokens[slice(*run)]
    places = [0, *accumulate(map(len, tokens))]
    start = run[0]
    changes = [
        places[i]
        for i in range(1, len(tokens))
        if layout.segment_of(start + i) != layout.segment_of(start + i - 1)
    ]
    return layout.cuts(*run, sorted({*paragraph_starts("".join(tokens)), *changes}))
