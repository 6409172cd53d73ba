"""Placebo questions: the run's own chat template around questions that ask for something else.

What the lens shows at the template tokens of any question says nothing of this one. So a token
counts as rehearsed only where it is far less likely after each of these questions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from attentropy.engine.errors import UsageError
from attentropy.engine.prompt.chat import render_texts
from attentropy.engine.prompt.encode import encode_chat
from attentropy.engine.prompt.messages import Conversation
from attentropy.engine.prompt.prepare import Prompt, PromptLike, prompt_of
from attentropy.engine.prompt.turns import read_turns
from attentropy.engine.trace.content_words import word_keys
from attentropy.engine.trace.function_words import function_words
from attentropy.engine.trace.sink_keys import may_be_sinks
from attentropy.engine.trace.types import Array

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Each asks for another kind of answer, so that what they have in common is what any answer of a
# chat has: a number, a yes or no, a translation, a person's name, a list, code. None asks for a
# place: that is the embedded model's own question. They are about things that few people ask for,
# since a prompt that asks for the same has lost one control. A whole sentence in another language
# shows what the lens gives for the language alone (in SmolLM2, the start of many French words).
QUESTIONS = (
    "How many strings does a violin have?",
    "Is a tomato a fruit?",
    "Translate into French: The dog sleeps in the garden.",
    "Who invented the ballpoint pen?",
    "Name three kinds of trees.",
    "Write a Python function that adds two numbers.",
)
LEAST = 5  # questions without which nothing is tested
MOST_TOKENS = 2048  # of all questions together: a short prompt must not take much longer
_INSTRUCTIONS = ("system", "developer")


@dataclass(frozen=True)
class Placebos:
    """The placebo questions as token ids, or why there are none.

    shared: how many of the last tokens are those of the prompt, all of them template tokens after
    its last word. may_be_sinks: which tokens of each question may be sink keys. why_not: None where
    the questions can be read.
    """

    ids: tuple[tuple[int, ...], ...] = ()
    shared: int = 0
    may_be_sinks: tuple[Array, ...] = ()
    why_not: str | None = None


def placebo_prompts(
    tokenizer: PreTrainedTokenizerBase,
    prompt: PromptLike,
    text: Prompt,
    *,
    system: str | None = None,
    question: str | None = None,
    tools: Sequence[Any] | None = None,
    template_args: Mapping[str, Any] | None = None,
    questions: Sequence[str] = QUESTIONS,
) -> Placebos:
    """Return `questions` as the template writes them for the prompt that became `text`.

    System turn, tools and template arguments are those of the prompt; of a long system turn, tools
    and documents the questions have none (see `MOST_TOKENS`). A question whose content words all
    stand in the prompt is left out.
    """
    if not text.chat:
        return Placebos(why_not="the prompt was not written with a chat template")
    after = _after_words(text)
    if after == len(text.ids):
        return Placebos(why_not="the prompt has no template token after its last word")
    turns = read_turns(
        prompt, system=system, question=question, tools=tools, template_args=template_args
    )
    stated = word_keys("".join(text.tokens))
    remaining = [one for one in questions if not _content(one) <= stated]
    if len(remaining) < LEAST:
        return Placebos(why_not="the prompt asks the placebo questions itself")
    messages, arguments = turns.conversation.messages, turns.conversation.arguments
    instructions = [m for m in messages[:1] if m["role"] in _INSTRUCTIONS]
    plain = {k: v for k, v in arguments.items() if k not in ("tools", "documents")}
    for first, options in ((instructions, arguments), ([], plain)):
        try:
            prompts = _encode(tokenizer, remaining, first, options)
        except UsageError:
            return Placebos(why_not="the chat template rejects the placebo questions")
        ids = tuple(tuple(one.ids) for one in prompts)
        if sum(map(len, ids)) <= MOST_TOKENS:
            shared = min(_common_end(text.ids[after:], one) for one in ids)
            if not shared:
                return Placebos(why_not="the template ends in other tokens after other questions")
            may_be = tuple(may_be_sinks(one.tokens, one.roles) for one in prompts)
            return Placebos(ids, shared, may_be)
    return Placebos(why_not=f"the placebo questions have more than {MOST_TOKENS:,} tokens")


def _content(question: str) -> set[str]:
    words = word_keys(question)
    return words - function_words(words)


def _after_words(text: Prompt) -> int:
    """Return the first of the template tokens with which a prompt ends, its length for none."""
    end = len(text.ids)
    while end and text.roles[end - 1] in ("template", "bos", "eos"):
        end -= 1
    return end


def _encode(
    tokenizer: PreTrainedTokenizerBase,
    questions: Sequence[str],
    first: list[dict[str, Any]],
    arguments: dict[str, Any],
) -> list[Prompt]:
    """Return each question's prompt. Raises `UsageError` where the template rejects one.

    Roles tell the words of the question and of the instructions from all others, which are the
    template's: enough to judge which words have content.
    """
    conversations = [
        Conversation([*first, {"role": "user", "content": question}], arguments)
        for question in questions
    ]
    texts = render_texts(tokenizer, conversations)
    prompts = []
    for text, conversation in zip(texts, conversations, strict=True):
        encoded = encode_chat(tokenizer, text, conversation.messages, **arguments)
        roles = ["template"] * len(encoded.ids)
        for words in (str(message["content"]) for message in conversation.messages):
            start = text.rfind(words)
            for i, (a, b) in enumerate(encoded.places):
                if start >= 0 and a < b and start < b and a < start + len(words):
                    roles[i] = "content"
        prompts.append(prompt_of(tokenizer, text, encoded.ids, encoded.places, roles, chat=True))
    return prompts


def _common_end(one: Sequence[int], other: Sequence[int]) -> int:
    """Return how many tokens two sequences have in common at their ends."""
    pairs = zip(reversed(one), reversed(other), strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
