"""How much of an answer is reasoning, and where the answer itself begins."""

from __future__ import annotations

import numpy as np

from attentropy.engine.prompt.reasoning import answer_parts
from attentropy.engine.trace.dataset import Trace


def reasoning_end(trace: Trace) -> int:
    """Return the position at which the answer itself begins: after its reasoning and the marker.

    That is where the prompt ends if there is no reasoning, or if another prompt follows before it.
    """
    prompt, generated = trace.prompt_tokens, trace.is_generated
    reasoning = np.flatnonzero(generated & (trace["role"] == "reasoning"))
    if not reasoning.size or not generated[prompt : reasoning[-1]].all():
        return prompt
    end = int(reasoning[-1]) + 1
    parts = answer_parts(trace.tokens, prompt)
    while end - prompt < len(parts) and parts[end - prompt] == "marker":
        end += 1
    return end


def reasoning_tokens(trace: Trace) -> int:
    """Return how many of the generated tokens are reasoning, markers left out."""
    return int((trace.is_generated & (trace["role"] == "reasoning")).sum())
