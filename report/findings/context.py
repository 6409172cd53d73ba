"""The finding on the context: how many heads need most of it, and what windows would save."""

from __future__ import annotations

import numpy as np

from attentropy.engine.trace.context import FIRST_KEYS, SHARES, ContextUse
from attentropy.engine.trace.dataset import Trace
from attentropy.report.findings.finding import Observation
from attentropy.report.units import count, format_bytes, join_words, percent

BOUND = (
    "The saving is an upper bound, from this prompt alone, and no promise: a mean hides the "
    "queries that need more, and what the model would lose with the rest was not tested."
)


def observe_context(trace: Trace) -> Observation | None:
    """Return how many heads need most of the prompt; None where that was not measured."""
    use = trace.context_use()
    if use is None:
        return None
    far = use.is_far()
    entry = int(far.sum(1).argmax())
    return Observation(
        "context", " ".join(context_sentences(use)), "context_mass", float(far.sum()) / use.heads,
        "share", SHARES[0], use.heads, view="attention", layer=entry if far.any() else None,
    )  # fmt: skip


def context_sentences(use: ContextUse) -> list[str]:
    """Return how many heads need most of the prompt, and what a cache with windows would take."""
    return [f"{text}." for text in (far_heads(use), _cache(use), _limits(use)) if text]


def far_heads(use: ContextUse) -> str:
    """Return how many heads need more than half the prompt, without a full stop."""
    far = int(use.is_far().sum())
    number = "none" if not far else f"{far:,}"
    need, they_attend = ("needs", "it attends") if far == 1 else ("need", "they attend")
    sides = "" if use.is_causal else " on either side"
    uniform = use.uniform_window(SHARES[0])
    return (
        f"{number.capitalize()} of {count(use.heads, 'head')} {need} a window of more than "
        f"{count(use.half, 'token')}{sides} to hold {percent(SHARES[0])} of what {they_attend} to "
        f"besides the first four tokens; uniform attention would need {uniform:,}"
    )


def reach_words(use: ContextUse) -> str:
    """Return what the means are over, and how far the prompt lets anyone see."""
    beyond = float(np.nanmax(np.append(use.reach[:, 1:][:, use.bins[1:] >= use.half], 0.0)))
    away = "back" if use.is_causal else "away"
    return (
        f"All numbers are means over the {count(use.tokens, 'token')} of the prompt. "
        f"{percent(beyond)} of them can look {use.half:,} tokens {away} or further, and no window "
        f"can be judged beyond {count(int(use.limits.max()), 'token')}."
    )


def _cache(use: ContextUse) -> str:
    """Return the bytes of a cache with windows; "" where its size is not known."""
    caches = [use.cache(share) for share in SHARES]
    if caches[0] is None or caches[1] is None:
        return ""
    whole, windowed = caches[0].full, caches[0].windowed
    saves = percent(1 - windowed / whole) if windowed < whole else "nothing"
    return (
        f"A KV cache with such a window for each key/value head, and the first {_number()} tokens, "
        f"would take {format_bytes(windowed)} instead of {format_bytes(whole)} at this length (it "
        f"saves {saves}); for {percent(SHARES[1])}, {format_bytes(caches[1].windowed)}"
    )


def _limits(use: ContextUse) -> str:
    """Return which layers have a sliding window of their own; "" where none has."""
    is_short = use.limits < use.tokens
    if not is_short.any():
        return ""
    sizes = [f"{size:,}" for size in np.unique(use.limits[is_short])]
    counted = ", and both sizes count that" if use.cache(SHARES[0]) is not None else ""
    return (
        f"In {int(is_short.sum()):,} of {count(len(use.limits), 'layer')} the model itself shows a "
        f"query no more than {join_words(sizes[:4])} tokens{counted}"
    )


def _number() -> str:
    return {4: "four"}.get(FIRST_KEYS, str(FIRST_KEYS))
