"""What the tooltip of a token says of its word, where that has more tokens."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.readable import is_redacted
from attentropy.engine.trace.statistics import TOKEN_LOGPROB
from attentropy.engine.trace.units import aggregate, units_of
from attentropy.report.text import for_sentence
from attentropy.report.units import count

_LETTERS = 60


def token_words(trace: Trace, entropies: np.ndarray) -> Callable[[int], str]:
    """Return a function that gives what is said of the word of a position, after a semicolon.

    That is nothing for a word of one token, and in a redacted trace. `entropies` are those of the
    tokens, [N].
    """
    if is_redacted(trace):
        return lambda position: ""
    units = units_of(trace, "word")
    tokens = units.tokens
    sums = np.full(len(tokens), np.nan)
    if TOKEN_LOGPROB in trace:  # which the first token of a text does not have
        sums, _ = aggregate(-trace[TOKEN_LOGPROB].astype(np.float64), units, undefined=0)
    _, means = aggregate(entropies.astype(np.float64), units)

    def words(position: int) -> str:
        number = units.numbers[position]
        if tokens[number] < 2:
            return ""
        parts = [f"surprisal {sums[number]:.2f} nats"] if np.isfinite(sums[number]) else []
        parts += [f"mean entropy {means[number]:.2f} nats"] if np.isfinite(means[number]) else []
        name = for_sentence(units.names[number].strip(), _LETTERS)
        length = count(int(tokens[number]), "token")
        return f"; word {name} ({length}){': ' if parts else ''}{', '.join(parts)}"

    return words
