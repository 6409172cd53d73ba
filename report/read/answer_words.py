"""The answer as the model wrote it, and its decisive word: the first one that tells something new.

The decisive word is the first content word of the answer that does not stand in the last message of
the prompt, or in the question where a document stands before it, or in the last paragraph of a text
without messages. A word of the question that the answer repeats, or a function word, tells little
of what the model knows.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from attentropy.engine.prompt.reasoning import answer_parts
from attentropy.engine.trace.content_words import content_keys, word_keys
from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.derived import once_per_trace
from attentropy.engine.trace.readable import is_redacted
from attentropy.engine.trace.segments import QUESTION
from attentropy.engine.trace.statistics import TOKEN_LOGPROB
from attentropy.engine.trace.units import starts_word

# A token that ends a turn or opens one, as vocabularies write it: `<|im_end|>`, `</s>`, `[INST]`.
_MARKER = re.compile(
    r"<\|[^<>]*\|>|<｜[^<>]*｜>|</?s>|<(?:bos|eos|pad|unk|(?:start|end)_of_\w+)>|\[/?[A-Z_]+\]"
)
_PARAGRAPHS = re.compile(r"\n\s*\n")
_LANGUAGE = 4096  # last tokens of the prompt by which the language is judged


@dataclass(frozen=True)
class Decisive:
    """The decisive word of an answer.

    step: its first token among the generated ones; position: that token's place in the trace;
    tokens: how many it has. word: its text, "" where it has no letter or digit, and in a redacted
    trace. is_new: whether it is missing in the last message. is_content: whether it is a content
    word. probability: of all its tokens, the product; None where it was not recorded. place: where
    it stands in the answer's text.
    """

    step: int
    position: int
    tokens: int
    word: str
    is_new: bool
    is_content: bool
    probability: float | None
    place: tuple[int, int] | None

    @property
    def query(self) -> int:
        """The position whose output is the word's first token: the one before it."""
        return self.position - 1


@dataclass(frozen=True)
class Answer:
    """What the model wrote after the prompt.

    text: without reasoning, special tokens, and blanks at its ends. is_cut: whether something other
    than the end of the turn ended it. is_chat: whether a chat template asked for an answer; a text
    without one is continued. reasoning: its text, "" for none. decisive: None where all that was
    generated is reasoning.
    """

    text: str
    is_cut: bool
    is_chat: bool
    reasoning: str
    decisive: Decisive | None

    @property
    def shown(self) -> str:
        """The text with "…" where it was cut."""
        return f"{self.text}…" if self.is_cut else self.text


@once_per_trace
def read_answer(trace: Trace) -> Answer | None:
    """Return the answer of a trace; None where it has none."""
    tokens = _generated(trace)
    attrs = trace.attrs
    text, reasoning = str(attrs.get("answer") or ""), str(attrs.get("reasoning") or "")
    if not (tokens.texts or text or reasoning):
        return None
    is_named = bool(text or reasoning)  # which it is not in a recording, nor in an unfinished run
    if "answer" not in attrs or ("partial" in attrs and not is_named):
        text, reasoning = tokens.join("content"), tokens.join("reasoning")
    is_cut = ("partial" in attrs and not is_named) or _is_cut(trace, tokens)
    if is_cut:
        text = text.rstrip("\ufffd")
    return Answer(text, is_cut, is_chat(trace), reasoning, _decisive(trace, tokens, text))


def is_chat(trace: Trace) -> bool:
    """Return whether the prompt was written by a chat template; a text without one is continued."""
    facts = trace.attrs.get("prompt")
    recorded = facts.get("chat") if isinstance(facts, dict) else None
    return bool((trace["role"] == "template").any() if recorded is None else recorded)


@dataclass(frozen=True)
class _Generated:
    """The generated tokens of the first answer: texts, roles, and what each is.

    parts: "content", "reasoning", or "marker" for special tokens and the end of the turn.
    is_content: whether the trace says that it is a content token.
    """

    texts: list[str]
    roles: list[str]
    parts: list[str]
    is_content: list[bool]

    def join(self, part: str) -> str:
        """Return the text of one kind of tokens."""
        pairs = zip(self.texts, self.parts, strict=True)
        return "".join(text for text, own in pairs if own == part).strip()


def _generated(trace: Trace) -> _Generated:
    """Return the tokens after the prompt that the model generated, up to another prompt."""
    start = trace.prompt_tokens
    if len(trace.tokens) > start:
        others = np.flatnonzero(~trace.is_generated[start:])
        stop = start + int(others[0]) if others.size else len(trace.tokens)
        texts, roles = trace.tokens[start:stop], trace.roles[start:stop]
    else:  # an older trace, whose positions are the prompt's alone
        texts = [str(text) for text in trace["generated_text"]] if "generated_text" in trace else []
        roles = ["generated"] * len(texts)
    parts = answer_parts([*trace.tokens[:start], *texts], start) if texts else []
    parts = ["reasoning" if role == "reasoning" else part
             for part, role in zip(parts, roles, strict=True)]  # fmt: skip
    flags = trace["generated_content"] if "generated_content" in trace else np.zeros(0)
    is_content = [i < flags.size and bool(flags[i]) for i in range(len(texts))]
    for i, text in enumerate(texts):
        if _MARKER.fullmatch(text.strip()) and not is_content[i]:
            parts[i] = "marker"
    return _Generated(texts, roles, parts, is_content)


def markers(trace: Trace) -> np.ndarray:
    """Return which generated tokens are markers, such as the end of the turn, [N] bool."""
    found = np.zeros(len(trace.tokens), bool)
    start = trace.prompt_tokens
    parts = _generated(trace).parts[: len(found) - start]
    found[start : start + len(parts)] = [part == "marker" for part in parts]
    return found


def _is_cut(trace: Trace, tokens: _Generated) -> bool:
    """Return whether the answer stops before the end of the turn."""
    attrs = trace.attrs
    if "answer_is_cut" in attrs:
        return bool(attrs["answer_is_cut"])
    options = attrs.get("options")
    limit = options.get("max_new_tokens") if isinstance(options, dict) else None
    if not tokens.texts or len(tokens.texts) != limit:
        return False
    last = len(tokens.texts) - 1  # an older trace does not say which token ended it
    return tokens.is_content[last] or tokens.parts[last] == "reasoning" or (
        bool(tokens.texts[last]) and not _MARKER.fullmatch(tokens.texts[last].strip())
    )  # fmt: skip


def _decisive(trace: Trace, tokens: _Generated, text: str) -> Decisive | None:
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
    question = _Words(_question(trace)[1])
    new = [i for i in words if keys[i] not in question]
    last = int(np.flatnonzero(is_start)[-1])
    if new and new[-1] == last and question.has_start(keys[last]):
        new.pop()  # nothing follows the word: the limit may have cut one of the question's
    any_words = [i for i in own if is_start[i] and _has_letter(tokens.texts[i])]
    first = next(iter([*new, *words, *any_words]), None)
    if first is None:
        step = next(iter(own), others[0])
        return _word_at(trace, tokens, (step, step + 1), is_new=False)
    after = np.flatnonzero(is_start[first + 1 :])
    stop = first + 1 + int(after[0]) if after.size else len(is_start)
    span = (first, stop)
    return _word_at(
        trace, tokens, span, is_new=bool(new), is_content=bool(words), text=text
    )  # fmt: skip


class _Words:
    """The words of a text, to look for a word of another text in it."""

    def __init__(self, text: str) -> None:
        self._keys = word_keys(text)
        self._text = text.casefold()

    def __contains__(self, key: str) -> bool:
        """Whether the text has a word; a token of several words stands in it as a whole."""
        if key in self._keys or key.removesuffix("'s") in self._keys:
            return True
        return len(word_keys(key)) > 1 and key in self._text

    def has_start(self, key: str) -> bool:
        """Whether a word of the text begins with `key`."""
        return any(own.startswith(key) for own in self._keys)


def source_of(trace: Trace) -> str:
    """Return what the answer's words are compared with, in words."""
    return _question(trace)[0]


def _question(trace: Trace) -> tuple[str, str]:
    """Return what asks for the answer, in words, and its text.

    It is the question where a document stands before it, else the last message, and the last
    paragraph where the prompt has no messages.
    """
    prompt = slice(trace.prompt_tokens)
    name, is_own = "prompt", trace["role"][prompt] == "content"
    if "segment" in trace and (trace["segment"][prompt] == QUESTION).any():
        name, is_own = QUESTION, trace["segment"][prompt] == QUESTION
    elif "message" in trace and (messages := trace["message"][prompt]).max(initial=-1) >= 0:
        name, is_own = "last message", messages == messages.max()
    texts = trace.tokens[prompt]
    text = "".join(texts[i] for i in np.flatnonzero(is_own)).rstrip()
    if name == "prompt" and (paragraph := _PARAGRAPHS.split(text)[-1]) != text:
        return "last paragraph of the prompt", paragraph
    return name, text


def _word_at(
    trace: Trace,
    tokens: _Generated,
    span: tuple[int, int],
    *,
    is_new: bool,
    is_content: bool = False,
    text: str = "",
) -> Decisive:
    """Return the word of the generated tokens `span` [start, stop)."""
    start, stop = span
    word = _bare("".join(tokens.texts[start:stop])) if text else ""
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
        probability=_probability(trace, span),
        place=(place, place + len(word)) if place >= 0 else None,
    )


def _has_letter(text: str) -> bool:
    """Return whether a text has a letter or a digit."""
    return any(unicodedata.category(letter)[0] in "LN" for letter in text)


def _bare(word: str) -> str:
    """Return a word without blanks and punctuation at its ends."""
    own = [i for i, letter in enumerate(word) if unicodedata.category(letter)[0] in "LMN"]
    return word[own[0] : own[-1] + 1] if own else word.strip()


def token_probabilities(trace: Trace) -> np.ndarray:
    """Return the probability of each generated token, [step] float64; NaN where not recorded.

    That of the model's own output, whatever it was drawn with.
    """
    if "generated_logprob" in trace:
        return _exp(trace["generated_logprob"])
    start = trace.prompt_tokens
    if TOKEN_LOGPROB in trace:
        return _exp(trace[TOKEN_LOGPROB][start:])
    return np.full(max(0, len(trace.tokens) - start), np.nan)


def _exp(values: Any) -> np.ndarray:
    with np.errstate(over="ignore"):  # of a stranger's trace
        return np.asarray(np.exp(values.astype(np.float64)))


def _probability(trace: Trace, span: tuple[int, int]) -> float | None:
    values = token_probabilities(trace)[slice(*span)]
    product = float(values.prod()) if values.size == span[1] - span[0] else float("nan")
    return product if np.isfinite(product) else None


def words_of(answers: Iterable[Answer | None]) -> str:
    """Return what the texts are: "continuation" where none of them answers a chat."""
    own = [answer for answer in answers if answer is not None]
    return "continuation" if own and not any(one.is_chat for one in own) else "answer"
