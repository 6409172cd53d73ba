"""What the tooltip of a token says of its word, where that has more tokens."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.units import aggregate, units_of
from attentropy.report.text import for_sentence
from attentropy.report.units import count

_LETTERS = 60


def token_words(
    trace: Trace, entropies: np.ndarray, surprisals: np.ndarray
) -> Callable[[int], str]:
    """Return a function that gives the words about the word of a position, after a semicolon.

    They are empty for a word of one token, and in a redacted trace. `entropies` and `surprisals`
    are those of the tokens, [N]; the first token of a text has no surprisal.
    """
    if trace.attrs.get("redacted") is True:
        return lambda position: ""
    units = units_of(trace, "word")
    tokens = units.tokens
    sums, _ = aggregate(surprisals.astype(np.float64), units, undefined=0)
    _, means = aggregate(entropies.astype(np.float64), units)

    def words(position: int) -> str:
        number = units.numbers[position]
        if tokens[number] < 2:
            return ""
        parts = [f"surprisal {sums[number]:.2f} nats"] if np.isfinite(sums[number]) else []
        parts += [f"mean {means[number]:.2f} nats"] if np.isfinite(means[number]) else []
        name = for_sentence(units.names[number].strip(), _LETTERS)
        length = count(int(tokens[number]), "token")
        return f"; word {name} ({length}){': ' if parts else ''}{', '.join(parts)}"

    return words
