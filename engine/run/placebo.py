"""Read placebo questions as the prompt was read, and choose the answer's tokens to look for."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from attentropy.engine.attention.ignored import without_recording
from attentropy.engine.attention.probe import MODEL_ERRORS
from attentropy.engine.cost.memory import questions_at_once
from attentropy.engine.errors import AttentropyError
from attentropy.engine.lens.placebo import PlaceboStates
from attentropy.engine.lens.points import States, capture_states
from attentropy.engine.model.positions import usable_positions
from attentropy.engine.prompt.placebo import Placebos
from attentropy.engine.prompt.prepare import Prompt
from attentropy.engine.run.plan import RunPlan
from attentropy.engine.run.reference import EntropyMeans, Reference, tell
from attentropy.engine.trace.content_words import content_keys, word_key, word_keys

logger = logging.getLogger("attentropy.run")


def sought(text: Prompt, prompt_tokens: int, content: Sequence[bool]) -> list[bool]:
    """Return which generated tokens belong to a content word that does not stand in the prompt.

    A token that is a word of the prompt by itself, such as a digit of a longer number, is none.

    text: the prompt, and the answer after its `prompt_tokens` tokens; content: which of the
    answer's tokens may count at all.
    """
    keys = content_keys(text.tokens, text.roles)[prompt_tokens:]
    stated = word_keys("".join(text.tokens[:prompt_tokens]))
    # A token may have several words, as in scripts without blanks: all of them may stand there.
    is_new = [
        bool(key) and not word_keys(key) <= stated and word_key(token) not in stated
        for key, token in zip(keys, text.tokens[prompt_tokens:], strict=True)
    ]
    if keys and any(own.startswith(keys[-1]) for own in stated):
        # Nothing follows the last word: the limit may have cut one of the prompt's.
        is_new = [new and key != keys[-1] for new, key in zip(is_new, keys, strict=True)]
    return [keep and new for keep, new in zip(content, is_new, strict=True)]


def read_placebos(plan: RunPlan, placebos: Placebos) -> tuple[Reference | None, dict[str, Any]]:
    """Return what was read of the questions, and what the trace says of them.

    None, with the reason, where they cannot be read: a failure costs the control alone.
    """
    why_not = placebos.why_not or _why_not(plan, placebos)
    if why_not is not None or plan.lens is None:
        return None, {"why_not": why_not or "the trace has no logit lens"}
    try:
        reference = _read_all(plan, placebos)
    except (AttentropyError, MemoryError, *MODEL_ERRORS) as error:
        logger.debug("the placebo questions could not be read", exc_info=True)
        name = type(error).__name__
        return None, {"why_not": f"reading the placebo questions failed ({name})"}
    return reference, {"questions": len(placebos.ids), "tokens": placebos.shared}


def _why_not(plan: RunPlan, placebos: Placebos) -> str | None:
    """Return why the model does not take these questions, None if it does."""
    positions = usable_positions(plan.loaded.model)
    if positions is not None and max(map(len, placebos.ids)) > positions:
        return "the placebo questions are longer than the model's context"
    vocabulary = plan.loaded.model.get_input_embeddings().weight.shape[0]
    if max(map(max, placebos.ids)) >= vocabulary:
        return "the placebo questions have tokens that the model does not have"
    return None


def _read_all(plan: RunPlan, placebos: Placebos) -> Reference:
    """Read all questions, as many together as fit where that is exact.

    They are padded on the right: no token sees those after it, so that padding needs no mask, and
    every kind of layer reads it as it reads more text. Where weights are quantized, outputs may
    depend on what is read together.
    """
    assert plan.lens is not None
    reading, count = plan.lens.reading, len(placebos.ids)
    is_exact = not getattr(plan.loaded.model, "is_quantized", False)
    size = questions_at_once(plan.chunk, max(map(len, placebos.ids))) if is_exact else 1
    groups = [range(first, min(count, first + size)) for first in range(0, count, size)]
    # A translated lens reads the states of the residual stream.
    points = {site: own for site, own in reading.points.items() if site in reading.sites}
    parts, means = [], []
    for group in groups:
        states, values = _read(plan, points, placebos, group)
        parts.append(states)
        means.append(values)
    joined: States = {
        site: [
            None if column[0] is None else torch.cat([part for part in column if part is not None])
            for column in zip(*(part[site] for part in parts), strict=True)
        ]
        for site in points
    }
    lengths = np.array([len(one) for one in placebos.ids], np.int32)
    read = PlaceboStates(joined, count, placebos.shared)
    return Reference(read, lengths, *np.concatenate(means, 1))


def _read(
    plan: RunPlan, points: Any, placebos: Placebos, group: Sequence[int]
) -> tuple[States, np.ndarray]:
    """Return the states at the last shared tokens of each question of `group`, read in one batch.

    And both means of `EntropyMeans`, [2, questions, entries].
    """
    own = [placebos.ids[i] for i in group]
    width, shared = max(map(len, own)), placebos.shared
    padded = [[*one, *[one[-1]] * (width - len(one))] for one in own]
    rows = [i * width + len(one) - shared + j for i, one in enumerate(own) for j in range(shared)]
    model: Any = plan.loaded.model
    ids = torch.tensor(padded, device=plan.ids.device)
    listener = EntropyMeans(model, plan.attention, [placebos.may_be_sinks[i] for i in group])
    with (
        torch.no_grad(),
        tell(model, listener) if plan.records_attention else without_recording(model),
        capture_states(points, torch.tensor(rows)) as states,
    ):
        model(ids, use_cache=False, logits_to_keep=1)
    return states, np.stack([listener.means, listener.means_without_sinks])
