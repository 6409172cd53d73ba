"""The decisive word of an answer: the first one that tells something new.

It is the first content word of the answer that does not stand in the last message of the prompt, or
in the question where a document stands before it, or in the last paragraph of a text without
messages; where all stand in the message, the first one that does not stand in its last paragraph. A
word of the question that the answer repeats, or a function word, tells little of what
the model knows.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from attentropy.engine.trace.content_words import Words, bare_word, content_keys
from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.readable import is_redacted
from attentropy.engine.trace.segments import QUESTION
from attentropy.engine.trace.units import starts_word
from attentropy.report.read.generated_tokens import GeneratedTokens, token_probabilities
from attentropy.report.text import has_letter

_PARAGRAPHS = re.compile(r"\n\s*\n")
_LANGUAGE = 4096  # last tokens of the prompt by which the language is judged


@dataclass(frozen=True)
class Decisive:
    """The decisive word of an answer.

    step: its first token among the generated ones; position: that token's place in the trace;
    tokens: how many it has. word: its text, "" where it has no letter or digit, and in a redacted
    trace. is_new: whether it is missing in the last message. is_content: whether it is a content
    word. source: what the answer's words are compared with, in words. probability: of all its
    tokens, the product; None where it was not recorded. place: where it stands in the answer's
    text.
    """

    step: int
    position: int
    tokens: int
    word: str
    is_new: bool
    is_content: bool
    source: str
    probability: float | None
    place: tuple[int, int] | None

    @property
    def query(self) -> int:
        """The position whose output is the word's first token: the one before it."""
        return self.position - 1


def decisive_word(trace: Trace, tokens: GeneratedTokens, text: str) -> Decisive | None:
    """Return the decisive word: a content word, or any word, or the first token of the answer."""
    own = [i for i, part in enumerate(tokens.parts) if part == "content"]
    others = [i for i, part in enumerate(tokens.parts) if part != "reasoning"]
    if not others or (not own and "reasoning" in tokens.parts):
        return None
    start = trace.prompt_tokens
    if is_redacted(trace):
        step = next((i for i in own if tokens.is_content[i]), others[0])
        return _word_at(trace, tokens, (step, step + 1), is_new=False)
    context = slice(max(0, start - _LANGUAGE), start)
    whole = [*trace.tokens[context], *tokens.texts]
    roles = [*trace.roles[context], *tokens.roles]
    before = context.stop - context.start
    keys = content_keys(whole, roles)[before:]
    is_start = starts_word(whole, roles)[before:]
    words = [i for i in own if keys[i] and is_start[i]]
    last = int(np.flatnonzero(is_start)[-1])
    new, source = _new_words(trace, words, keys, last)
    any_words = [i for i in own if is_start[i] and has_letter(tokens.texts[i])]
    first = next(iter([*new, *words, *any_words]), None)
    if first is None:
        step = next(iter(own), others[0])
        return _word_at(trace, tokens, (step, step + 1), is_new=False)
    after = np.flatnonzero(is_start[first + 1 :])
    stop = first + 1 + int(after[0]) if after.size else len(is_start)
    span = (first, stop)
    return _word_at(
        trace, tokens, span, is_new=bool(new), is_content=bool(words), text=text, source=source
    )  # fmt: skip


def _new_words(
    trace: Trace, words: list[int], keys: list[str], last: int
) -> tuple[list[int], str]:  # fmt: skip
    """Return which of the answer's words say something new, and what they are compared with.

    words: their first tokens; last: that of the answer's last word.
    """
    new, source = list[int](), ""
    for name, question_text in _questions(trace):
        source = name
        question = Words(question_text)
        new = [i for i in words if keys[i] not in question]
        if new and new[-1] == last and question.has_start(keys[last]):
            new.pop()  # nothing follows the word: the limit may have cut one of the question's
        if new:
            break
    return new, source


def _questions(trace: Trace) -> list[tuple[str, str]]:
    """Return what asks for the answer, in words, and its text; then the last paragraph of it.

    It is the question where a document stands before it, else the last message, and the last
    paragraph where the prompt has no messages. An answer that repeats a passage of the message has
    no word that is new in all of it, but has one that is not in the question after the passages.
    """
    prompt = slice(trace.prompt_tokens)
    name, is_own = "prompt", trace["role"][prompt] == "content"
    if "segment" in trace and (trace["segment"][prompt] == QUESTION).any():
        name, is_own = QUESTION, trace["segment"][prompt] == QUESTION
    elif "message" in trace and (messages := trace["message"][prompt]).max(initial=-1) >= 0:
        name, is_own = "last message", messages == messages.max()
    texts = trace.tokens[prompt]
    text = "".join(texts[i] for i in np.flatnonzero(is_own)).rstrip()
    paragraph = _PARAGRAPHS.split(text)[-1]
    last = [] if paragraph == text else [(f"last paragraph of the {name}", paragraph)]
    return last if last and name == "prompt" else [(name, text), *last]


def _word_at(
    trace: Trace,
    tokens: GeneratedTokens,
    span: tuple[int, int],
    *,
    is_new: bool,
    is_content: bool = False,
    text: str = "",
    source: str = "",
) -> Decisive:
    """Return the word of the generated tokens `span` [start, stop)."""
    start, stop = span
    word = bare_word("".join(tokens.texts[start:stop])) if text else ""
    before = "".join(
        own for own, part in zip(tokens.texts[:start], tokens.parts[:start], strict=True)
        if part == "content"
    )  # fmt: skip
    place = text.find(word, max(0, len(before.lstrip()) - 1)) if word else -1
    return Decisive(
        step=start,
        position=trace.prompt_tokens + start,
        tokens=stop - start,
        word=word,
        is_new=is_new,
        is_content=is_content,
        source=source,
        probability=_probability(trace, span),
        place=(place, place + len(word)) if place >= 0 else None,
    )


def _probability(trace: Trace, span: tuple[int, int]) -> float | None:
    values = token_probabilities(trace)[slice(*span)]
    product = float(values.prod()) if values.size == span[1] - span[0] else float("nan")
    return product if np.isfinite(product) else None
