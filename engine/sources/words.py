"""The words of an answer, and which of them are decisive."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from attentropy.engine.sources.layout import ASKS, Layout, token_roles
from attentropy.engine.trace.content_words import Words, bare_word, content_keys, word_keys
from attentropy.engine.trace.types import Array
from attentropy.engine.trace.units import starts_word

_LANGUAGE = 4096  # last tokens of the prompt by which the language is judged


@dataclass(frozen=True)
class AnswerWord:
    """A word of the answer: its steps [start, stop), and what it is.

    key: of the content word, as words are compared, "" for another word.
    """

    start: int
    stop: int
    text: str
    key: str
    is_decisive: bool = False


def answer_words(layout: Layout) -> list[AnswerWord]:
    """Return the words of the answer in order; blanks alone are none.

    Decisive are the content words that do not stand in the question, or all content words, or all
    words. Words of reasoning never decide, unless the answer is reasoning alone.
    """
    first = max(0, layout.prompt_tokens - _LANGUAGE)
    tokens, roles = layout.tokens[first:], layout.roles[first:]
    spans = None if layout.byte_spans is None else layout.byte_spans[first:]
    start = layout.prompt_tokens - first
    keys = content_keys(tokens, roles)[start:]
    begins = np.flatnonzero(starts_word(tokens, roles, spans)[start:])
    words = [
        AnswerWord(a, b, bare_word(text), keys[a])
        for a, b in pairwise([*begins.tolist(), layout.steps])
        if (text := "".join(tokens[start + a : start + b])).strip()
    ]
    decisive = _decisive(layout, words, roles[start:])
    return [
        AnswerWord(word.start, word.stop, word.text, word.key, i in decisive)
        for i, word in enumerate(words)
    ]


def _decisive(layout: Layout, words: list[AnswerWord], roles: Sequence[str]) -> set[int]:
    """Return the numbers of the decisive words."""
    own = [i for i, word in enumerate(words) if roles[word.start] != "reasoning"]
    own = own or list(range(len(words)))
    content = [i for i in own if words[i].key]
    question = Words(question_text(layout))
    new = [i for i in content if words[i].key not in question]
    named = [i for i in own if word_keys(words[i].text)]
    return set(new or content or named or own)


def question_text(layout: Layout) -> str:
    """Return the words of the prompt that ask for the answer."""
    roles = token_roles(layout)
    return "".join(token for token, role in zip(layout.tokens, roles, strict=False) if role == ASKS)


def of_words(values: Array, words: list[AnswerWord]) -> Array:
    """Return what each word has: the sums of values [..., step] over its steps, [..., word]."""
    if not words:
        return np.empty((*values.shape[:-1], 0))
    ends = [end for word in words for end in (word.start, word.stop)]
    padded = np.concatenate([values, np.zeros_like(values[..., :1])], -1)  # a word may end there
    return np.add.reduceat(padded, ends, -1)[..., ::2]
