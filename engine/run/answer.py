"""Generate the greedy answer after a prompt, and lay it out for the trace."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from attentropy.engine.lens.rehearsal import find_content
from attentropy.engine.model.cache import cache_of, continuing
from attentropy.engine.model.load import LoadedModel
from attentropy.engine.model.positions import usable_positions
from attentropy.engine.prompt.tokens import vocabulary_text
from attentropy.engine.trace.text import text_array


def greedy(loaded: LoadedModel, ids: Tensor, output: Any, steps: int) -> list[tuple[int, float]]:
    """Continue greedily through the cache: (id, ln P) of each generated token, at most `steps`.

    Stops after the end of turn, and at the model's last position.
    """
    ends = _end_ids(loaded)
    positions = usable_positions(loaded.model)
    if positions is not None:
        steps = min(steps, positions - ids.shape[1] + 1)
    generated: list[tuple[int, float]] = []
    cache = cache_of(output)
    logits = output.logits[:, -1]
    sequence = ids
    with torch.no_grad():
        while len(generated) < steps:
            logprobs = logits.float().log_softmax(-1)
            token = int(logprobs.argmax(-1))
            generated.append((token, float(logprobs[0, token])))
            if token in ends or len(generated) == steps:
                break
            new = torch.tensor([[token]], device=ids.device)
            sequence = torch.cat([sequence, new], 1)
            if cache is None:
                output = loaded.model(sequence, use_cache=False, logits_to_keep=1)
            else:
                output = loaded.model(new, use_cache=True, logits_to_keep=1, **continuing(cache))
                cache = cache_of(output)
            logits = output.logits[:, -1]
    return generated


def _end_ids(loaded: LoadedModel) -> set[int]:
    ends: set[int | None] = set()
    generation = getattr(loaded.model, "generation_config", None)
    for holder in (generation, loaded.model.config, loaded.tokenizer):
        value = getattr(holder, "eos_token_id", None)
        ends |= set(value) if isinstance(value, (list, tuple)) else {value}
    return {int(i) for i in ends if i is not None}


def answer_arrays(loaded: LoadedModel, answer: list[tuple[int, float]]) -> dict[str, Any]:
    """Return the generated tokens as the trace's arrays along `step`."""
    ids = [token for token, _ in answer]
    texts = vocabulary_text(loaded.tokenizer, ids)
    content = find_content(ids, texts, set(loaded.tokenizer.all_special_ids), _end_ids(loaded))
    return {
        "generated_ids": ("step", np.array(ids, np.int32)),
        "generated_logprob": ("step", np.array([p for _, p in answer], np.float32)),
        "generated_content": ("step", np.array(content, np.int8)),
        "generated_text": ("step", text_array(texts)),
    }


def vocabulary_arrays(texts: dict[int, str]) -> dict[str, Any]:
    """Return vocabulary entries and their texts as the trace's coordinates along `vocabulary`."""
    ids = sorted(texts)
    return {
        "vocabulary_ids": ("vocabulary", np.array(ids, np.int32)),
        "vocabulary_text": ("vocabulary", text_array([texts[i] for i in ids])),
    }
