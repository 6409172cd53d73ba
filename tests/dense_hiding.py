"""The oracle: a model's own attention in float64, with a dense mask in which keys are hidden."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from transformers import masking_utils

from attentropy.engine.coverage.classes import find_class
from attentropy.engine.coverage.tiny import tiny_model
from attentropy.engine.sources.hiding import Variant, is_hidden

TOKENS, PROMPT = 40, 33


def random_ids(seed: int, tokens: int = TOKENS) -> list[int]:
    """Return ids of no special tokens."""
    return np.random.default_rng(seed).integers(20, 150, tokens).tolist()


def random_span(rng: np.random.Generator, tokens: int, stop: int) -> tuple[int, int]:
    """Return a span of an odd length below `tokens` that ends at `stop` or before."""
    length = 2 * int(rng.integers(0, tokens // 2)) + 1
    start = int(rng.integers(0, stop - length + 1))
    return start, start + length


def tiny(name: str, **config: Any) -> Any:
    """Return a tiny random model of a class in float32, as a reader takes it."""
    cls = find_class(name)
    plain = tiny_model(cls)
    if getattr(plain.config, "attn_logit_softcapping", None):
        plain.set_attn_implementation("eager")  # earlier SDPA of transformers leaves out the cap
    if not config:
        return SimpleNamespace(model=plain)
    vars_of = plain.config.to_dict() | config
    torch.manual_seed(0)
    return SimpleNamespace(model=cls(type(plain.config)(**vars_of)).eval())


def exact(model: Any) -> Any:
    """Return a copy of a model in float64."""
    exact_model = copy.deepcopy(model).double()
    exact_model.set_experts_implementation("eager")  # the grouped product takes no float64
    return exact_model


def logprobs(model: Any, ids: Sequence[int], prompt: int, **extra: Any) -> np.ndarray:
    """Return ln p of each token after the prompt, from one plain pass of the model."""
    with torch.no_grad():
        logits = model(torch.tensor([list(ids)]), use_cache=False, **extra).logits[0]
    logprob = logits[prompt - 1 : -1].double().log_softmax(-1)
    return logprob.gather(-1, torch.tensor(ids[prompt:])[:, None])[:, 0].numpy()


def dense_logprobs(
    model: Any, ids: Sequence[int], prompt: int, variant: Variant, monkeypatch: Any
) -> np.ndarray:
    """Return the same with keys hidden by the dense mask that transformers' attention gets.

    Falcon's eager attention is another than the one that it is used with, so that each model keeps
    an implementation that agrees with its own.
    """
    implementation = "sdpa" if "Falcon" in type(model).__name__ else "eager"
    model.set_attn_implementation(implementation)
    build = masking_utils.ALL_MASK_ATTENTION_FUNCTIONS[implementation]
    position = np.arange(len(ids))
    hidden = torch.from_numpy(is_hidden(variant, 0, position, position))

    def masked(*args: Any, **kwargs: Any) -> torch.Tensor:
        kwargs["allow_is_causal_skip"] = False
        mask = build(*args, **kwargs)
        if mask.dtype == torch.bool:
            return mask & ~hidden
        return mask.masked_fill(hidden, torch.finfo(mask.dtype).min)

    with monkeypatch.context() as patch:
        patch.setitem(masking_utils.ALL_MASK_ATTENTION_FUNCTIONS, implementation, masked)
        return logprobs(model, ids, prompt)
