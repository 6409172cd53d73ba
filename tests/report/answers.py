"""Synthetic traces whose prompt has an answer, with or without reasoning before it."""

from __future__ import annotations

import numpy as np

from attentropy.engine.trace.dataset import Trace
from traces import CHAT, chat_roles, synthetic

ANSWER = ("Can", "berra", "<|eot_id|>")
_IDS: dict[str, int] = {}  # of texts, in all traces of a test's process
REASONED = (" Hm", ".", "</think>", "Can", "berra", "<|eot_id|>")
REASONED_ROLES = ["reasoning"] * 2 + ["generated"] * 4


def answered(answer=ANSWER, seed=0, answer_roles=None, **options):
    """Return a synthetic trace of a prompt and its answer."""
    roles = chat_roles(CHAT) + (answer_roles or ["generated"] * len(answer))
    data = synthetic((*CHAT, *answer), roles, generated=answer, seed=seed, **options).dataset
    n, steps = len(CHAT), len(answer)
    keep = {"window_query": slice(n), "window_key": slice(n)}
    data = data.isel({dim: part for dim, part in keep.items() if dim in data.sizes})
    values = np.linspace(0.1, 2, steps).astype(np.float32)
    ids = [_IDS.setdefault(text, len(_IDS)) for text in (*CHAT, *answer)]
    data = data.assign_coords(token_ids=("position", np.array(ids, np.int32)))
    data = data.assign(
        generated_rank=("step", np.arange(steps, dtype=np.int32)),
        generated_entropy=("step", values),
    )
    return Trace(data.assign_attrs(prompt={"sha256": "2" * 64, "tokens": n, "chat": True}))


def reasoned():
    """Return a synthetic trace of a prompt and an answer that begins with reasoning."""
    trace = answered(REASONED, answer_roles=REASONED_ROLES)
    return Trace(trace.dataset.assign_attrs(answer="Canberra", reasoning="Hm."))


def prompt_of(trace):
    """Return the trace without its answer's positions."""
    n = trace.prompt_tokens
    return Trace(trace.dataset.isel(query=slice(n), position=slice(n)))


def written(text):
    """Return the tokens of a running text, in order."""
    words = (word for stretch in text.stretches for word in stretch.words)
    return [token for word in words for token in word.tokens]
