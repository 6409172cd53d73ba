"""The result as plain rows, one per span and decisive word, for sweeps and for reading."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from attentropy.engine.sources.labels import LABELS
from attentropy.engine.trace.content_words import bare_word

_EFFECTS = ("effect_direct", "effect_with_copies", "effect_total", "effect_remove",
            "effect_sufficient", "effect_copies")  # fmt: skip


def source_table(
    dataset: xr.Dataset, tokens: Sequence[str], prompt_tokens: int
) -> list[dict[str, Any]]:
    """Return the rows of a dataset of sources, word by word, the most negative effects first.

    Each has the span (place, level, role, id, text), the word (number, text, probability), effects
    and limits of the control in nats, and the label; None for what was not tested.
    """
    rows = []
    for word in np.flatnonzero(dataset["word_decisive"].values).tolist():
        own = [_row(dataset, tokens, prompt_tokens, i, word) for i in range(dataset.sizes["span"])]
        rows += sorted(own, key=_strength)
    return rows


def _row(
    dataset: xr.Dataset, tokens: Sequence[str], prompt_tokens: int, span: int, word: int
) -> dict[str, Any]:
    start, stop = (int(dataset[name].values[span]) for name in ("span_start", "span_stop"))
    first, last = (int(dataset[name].values[word]) for name in ("word_start", "word_stop"))
    steps = slice(first, last)
    effects = {name: _number(dataset[name].values[span, steps].sum()) for name in _EFFECTS}
    logprob = float(dataset["logprob"].values[steps].sum())
    hidden = effects["effect_with_copies"]
    return {
        "start": start,
        "stop": stop,
        "level": str(dataset["span_level"].values[span]),
        "role": str(dataset["span_role"].values[span]),
        "id": str(dataset["span_id"].values[span]),
        "text": "".join(tokens[start:stop]),
        "refined": bool(dataset["span_refined"].values[span]),
        "word": word,
        "word_text": bare_word("".join(tokens[prompt_tokens + first : prompt_tokens + last])),
        "probability": math.exp(logprob),
        "probability_hidden": None if hidden is None else math.exp(logprob + hidden),
        **effects,
        "control_low": _number(dataset["control_low"].values[span, word]),
        "control_high": _number(dataset["control_high"].values[span, word]),
        "control_draws": int(dataset["control_draws"].values[span]),
        "attention_mass": _number(dataset["attention_mass"].values[span]),
        "label": LABELS[int(dataset["label"].values[span, word])],
    }


def _number(value: Any) -> float | None:
    """Return a number, None for NaN."""
    return float(value) if np.isfinite(value) else None


def _strength(row: dict[str, Any]) -> float:
    """Return what rows are sorted by; rows without a test come last."""
    effect = row["effect_with_copies"]
    return math.inf if effect is None else float(effect)
