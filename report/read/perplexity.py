"""Perplexity of a text under the model that read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.statistics import TOKEN_LOGPROB


@dataclass(frozen=True)
class Perplexity:
    """exp of the mean surprisal −ln p over `tokens` tokens."""

    value: float
    tokens: int

    @property
    def words(self) -> str:
        """The value for people, without an exponent."""
        return f"{self.value:,.0f}" if self.value >= 100 else f"{self.value:.3g}"


def perplexities(trace: Trace) -> Mapping[str, Perplexity]:
    """Return the perplexity of the content, of what the model generated, and of the prompt.

    Generated reasoning is apart from the other generated tokens. A name is absent where the trace
    has no such token with a probability; the first token of a text never has one.
    """
    if TOKEN_LOGPROB not in trace:
        return {}
    logprobs, roles = trace[TOKEN_LOGPROB].astype(np.float64), trace["role"]
    generated = trace.is_generated
    groups = {
        "content": roles == "content",
        "reasoning": generated & (roles == "reasoning"),
        "generated": generated & (roles != "reasoning"),
        "prompt": ~generated & (roles != "padding"),
    }
    results = {}
    for name, group in groups.items():
        values = logprobs[group & np.isfinite(logprobs)]
        if values.size:
            with np.errstate(over="ignore"):  # of a stranger's trace
                results[name] = Perplexity(float(np.exp(-values.mean())), values.size)
    return results
