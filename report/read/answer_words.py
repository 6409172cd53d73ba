"""The answer as the model wrote it, without reasoning, special tokens, and what was cut off."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.derived import once_per_trace
from attentropy.report.read.decisive_word import Decisive, decisive_word
from attentropy.report.read.generated_tokens import GeneratedTokens, generated_tokens, is_marker

_ENDS = (".", "!", "?", "…", "。", "！", "？", "؟")


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
        return cut_text(self.text) if self.is_cut else self.text


def cut_text(text: str) -> str:
    """Return a text with "…" for what is cut off, apart from a mark that ends a sentence."""
    return f"{text} …" if text.endswith(_ENDS) else f"{text}…"


@once_per_trace
def read_answer(trace: Trace) -> Answer | None:
    """Return the answer of a trace; None where it has none."""
    tokens = generated_tokens(trace)
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
    return Answer(text, is_cut, is_chat(trace), reasoning, decisive_word(trace, tokens, text))


def is_chat(trace: Trace) -> bool:
    """Return whether the prompt was written by a chat template; a text without one is continued."""
    facts = trace.attrs.get("prompt")
    recorded = facts.get("chat") if isinstance(facts, dict) else None
    return bool((trace["role"] == "template").any() if recorded is None else recorded)


def _is_cut(trace: Trace, tokens: GeneratedTokens) -> bool:
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
        bool(tokens.texts[last]) and not is_marker(tokens.texts[last])
    )  # fmt: skip


def words_of(answers: Iterable[Answer | None]) -> str:
    """Return what the texts are: "continuation" where none of them answers a chat."""
    own = [answer for answer in answers if answer is not None]
    return "continuation" if own and not any(one.is_chat for one in own) else "answer"
