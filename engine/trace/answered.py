"""Where the answer is in a trace: which of its tokens are the prompt's, and which are generated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from attentropy.engine.trace.finished_chunks import AnswerTokens
from attentropy.engine.trace.layout import TOKEN_DIMS
from attentropy.engine.trace.types import Array


def prompt_length(roles: Array, facts: Mapping[str, Any]) -> int:
    """Return how many tokens the prompt has; `facts` are the attribute `prompt`.

    Without facts the first token with the role "generated" begins the answer.
    """
    tokens = facts.get("tokens")
    if type(tokens) is int and 0 < tokens <= roles.size:
        return tokens
    generated = np.flatnonzero(roles == "generated")
    return int(generated[0]) if generated.size and generated[0] else int(roles.size)


def is_generated(roles: Array, prompt: int) -> Array:
    """Return which tokens the model generated, [N] bool; the first `prompt` are the prompt's.

    What follows the prompt is the answer, and in a recording of several turns the next prompt too.
    """
    after = np.arange(roles.size) >= prompt
    generated: Array = (roles == "generated") | (after & (roles == "reasoning"))
    return generated


def with_answer(dataset: xr.Dataset, prompt: int, answer: AnswerTokens) -> xr.Dataset:
    """Cut an unfinished trace after the answer's finished tokens, and name these."""
    end = min(prompt + len(answer.ids), dataset.sizes.get("position", 0))
    dataset = dataset.isel({dim: slice(end) for dim in TOKEN_DIMS if dim in dataset.sizes})
    text = np.dtypes.StringDType()
    for name, values, dtype in (
        ("token_ids", answer.ids, np.int32), ("token_text", answer.texts, text),
        ("role", answer.roles, text),
    ):  # fmt: skip
        if name in dataset and values:
            own = [*dataset[name].values[:prompt].tolist(), *values]
            dataset = dataset.assign({name: ("position", np.array(own[:end], dtype))})
    return dataset
