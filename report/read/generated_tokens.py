"""The tokens that a model generated after a prompt: their texts, kinds and probabilities."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from attentropy.engine.prompt.reasoning import answer_parts
from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.statistics import TOKEN_LOGPROB

# A token that ends a turn or opens one, as vocabularies write it: `<|im_end|>`, `</s>`, `[INST]`.
_MARKER = re.compile(
    r"<\|[^<>]*\|>|<｜[^<>]*｜>|</?s>|<(?:bos|eos|pad|unk|(?:start|end)_of_\w+)>|\[/?[A-Z_]+\]"
)


@dataclass(frozen=True)
class GeneratedTokens:
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


def generated_tokens(trace: Trace) -> GeneratedTokens:
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
        if is_marker(text) and not is_content[i]:
            parts[i] = "marker"
    return GeneratedTokens(texts, roles, parts, is_content)


def markers(trace: Trace) -> np.ndarray:
    """Return which generated tokens are markers, such as the end of the turn, [N] bool."""
    is_marked = np.zeros(len(trace.tokens), bool)
    start = trace.prompt_tokens
    parts = generated_tokens(trace).parts[: len(is_marked) - start]
    is_marked[start : start + len(parts)] = [part == "marker" for part in parts]
    return is_marked


def is_marker(text: str) -> bool:
    """Return whether a token is written as those that end a turn or open one."""
    return _MARKER.fullmatch(text.strip()) is not None


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
