"""Characters of several tokens, such as most of Chinese under a byte-level tokenizer."""

from __future__ import annotations

import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.derived import once_per_trace


@once_per_trace
def character_starts(trace: Trace) -> np.ndarray:
    """Return whether each token starts a character, [N] bool.

    The first token of a character has its text, and the others an empty one.
    """
    texts, roles = trace["token_text"], trace["role"]
    starts = np.asarray(texts != "", dtype=bool)
    if starts.size:
        starts[0] = True
        starts[1:] |= roles[1:] != roles[:-1]
    return starts


def character_at(trace: Trace, position: int) -> tuple[int, int]:
    """Return the tokens [start, stop) of the character at a position; itself for most."""
    starts = character_starts(trace)
    start, stop = position, position + 1
    while not starts[start]:
        start -= 1
    while stop < len(starts) and not starts[stop]:
        stop += 1
    return start, stop
