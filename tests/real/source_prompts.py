"""Prompts for the test of sources, and the rule that says which passage an answer comes from.

The rule was written down before any source was tested. Every passage states one *value*, a word or
a few ("1874", "Ines Falk"). An answer names a value if the value's words stand in it, in their
order; of several, the one that stands first counts, and its words are the words judged. The
passages that state it are the true sources, whether the answer is right or wrong: a model that
answers with the year of another orchestra has it from the passage about that one. An answer that
names no value comes from the model's weights if none of its new content words (those that are not
in the question) stands in a passage, and the last of them is judged; otherwise the rule decides
nothing.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from real.words import function_words_of, key_of, keys_of, words_of

Fact = dict[str, Any]
FACTS: list[Fact] = json.loads(Path(__file__).with_name("source_facts.json").read_text("utf-8"))
# Questions without passages: the words on which the answer has to rest, and the answer.
QUESTIONS = {
    "What is the capital of Austria?": (("capital", "Austria"), "Vienna"),
    "What is the capital of Norway?": (("capital", "Norway"), "Oslo"),
    "What is the capital of Greece?": (("capital", "Greece"), "Athens"),
    "What is the capital of Poland?": (("capital", "Poland"), "Warsaw"),
    "What is the capital of Turkey?": (("capital", "Turkey"), "Istanbul"),
    "What is the capital of Kenya?": (("capital", "Kenya"), "Nairobi"),
    "What is the capital of Cuba?": (("capital", "Cuba"), "Havana"),
    "What is the capital of Sweden?": (("capital", "Sweden"), "Stockholm"),
    "What is the currency of Mexico?": (("currency", "Mexico"), "peso"),
    "What is the official language of Austria?": (("language", "Austria"), "German"),
}


@dataclass(frozen=True)
class Passage:
    """A text, and the value that it states."""

    text: str
    value: str


@dataclass(frozen=True)
class Part:
    """A part of the user's message; `role` is "instruction", "evidence", "asks" or ""."""

    role: str
    text: str


@dataclass(frozen=True)
class Judgement:
    """What the rule says of an answer: the characters judged, and the true passages."""

    start: int
    stop: int
    passages: tuple[int, ...]  # none: from the weights


@dataclass(frozen=True)
class RagPrompt:
    """A question with passages.

    kind: "once" or "twice", as often as the fact stands in the passages, "against" where it
    contradicts what the model has learned, "weights" where no passage answers the question.
    """

    name: str
    kind: str
    question: str
    passages: tuple[Passage, ...]
    layout: int

    @property
    def parts(self) -> list[Part]:
        """Return the user's message in order."""
        return _LAYOUTS[self.layout](self.question, [one.text for one in self.passages])

    @property
    def text(self) -> str:
        """Return the user's message."""
        return "".join(part.text for part in self.parts)

    @property
    def segments(self) -> dict[str, list[int]]:
        """Return the characters of the parts: "passage 0" …, "question" and "instruction"."""
        segments, place, count = dict[str, list[int]](), 0, 0
        for part in self.parts:
            names = {"evidence": f"passage {count}", "asks": "question"}
            if part.role:
                own = [place, place + len(part.text)]
                segments[names.get(part.role, part.role)] = own
            count += part.role == "evidence"
            place += len(part.text)
        return segments

    def judge(self, answer: str) -> Judgement | None:
        """Return the true sources of an answer by the rule above; None where it says nothing."""
        places = {one.value: place_of(one.value, answer) for one in self.passages}
        named = {value: place for value, place in places.items() if place}
        if named:
            value, (start, stop) = min(named.items(), key=lambda item: item[1])
            own = [i for i, one in enumerate(self.passages) if one.value == value]
            return Judgement(start, stop, tuple(own))
        old = function_words_of(answer) | keys_of(self.question)
        new = [(a, b) for a, b, key in words_of(answer) if key not in old]
        in_passages = keys_of(" ".join(one.text for one in self.passages))
        if not new or any(key_of(answer[a:b]) in in_passages for a, b in new):
            return None
        return Judgement(*new[-1], ())


def place_of(value: str, answer: str) -> tuple[int, int] | None:
    """Return where the words of `value` first stand in `answer`, in characters."""
    wanted, words = [key for _, _, key in words_of(value)], words_of(answer)
    for i in range(len(words) - len(wanted) + 1):
        part = words[i : i + len(wanted)]
        if [key for _, _, key in part] == wanted:
            return part[0][0], part[-1][1]
    return None


def _notes(question: str, texts: Sequence[str]) -> list[Part]:
    """Return an instruction, numbered notes, and the question at the end."""
    notes = [Part("evidence", f"Note {i}: {text}") for i, text in enumerate(texts, 1)]
    first = Part("instruction", "Use these notes to answer the question in one sentence.")
    return [first, Part("", "\n\n"), *_between(notes, "\n"), Part("", "\n\n"),
            Part("asks", f"Question: {question}")]  # fmt: skip


def _question_first(question: str, texts: Sequence[str]) -> list[Part]:
    """Return the question, a list of sources, and an instruction at the end."""
    sources = [Part("evidence", f"- {text}") for text in texts]
    last = Part("instruction", "Answer in one short sentence from the sources.")
    return [Part("asks", question), Part("", "\n\nSources:\n"), *_between(sources, "\n"),
            Part("", "\n\n"), last]  # fmt: skip


def _paragraphs(question: str, texts: Sequence[str]) -> list[Part]:
    """Return paragraphs without labels, and the question at the end."""
    first = Part("instruction", "Read the following text.")
    paragraphs = [Part("evidence", text) for text in texts]
    last = Part("asks", f"Now answer in one sentence: {question}")
    return [first, Part("", "\n\n"), *_between(paragraphs, "\n\n"), Part("", "\n\n"), last]


def _between(parts: Sequence[Part], text: str) -> list[Part]:
    """Return the parts with `text` between them."""
    return [one for part in parts for one in (Part("", text), part)][1:]


_LAYOUTS = (_notes, _question_first, _paragraphs)


def _passages(fact: Fact) -> tuple[Passage, ...]:
    """Return five to ten passages in random order: the fact, decoys of its form, and others."""
    rng = random.Random(f"{fact['name']} {fact['order']}")
    number = rng.randint(5, 10)
    own = [Passage(fact["form"].format(*pair), pair[1]) for pair in fact.get("decoys", ())]
    if fact["kind"] != "weights":
        own.append(_stated(fact))
    if "other" in fact:
        own.append(Passage(fact["other"], fact["value"]))
    values = {fact["value"], *(one.value for one in own)}
    others = [_stated(one) for one in FACTS if one["kind"] in ("once", "twice")]
    others = [one for one in others if one.value not in values]
    passages = [*own, *rng.sample(others, number - len(own))]
    rng.shuffle(passages)
    return tuple(passages)


def _stated(fact: Fact) -> Passage:
    """Return the passage that states a fact."""
    return Passage(fact["form"].format(fact["entity"], fact["value"]), fact["value"])


def _prompt(fact: Fact) -> RagPrompt:
    """Return the prompt that asks for a fact."""
    passages = _passages(fact)
    return RagPrompt(fact["name"], fact["kind"], fact["question"], passages, fact["layout"])


RAG = [_prompt(fact) for fact in FACTS]
