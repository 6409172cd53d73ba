"""How large the exact attention window is that a recording keeps by default.

Nothing here imports torch: what a run would keep can be computed anywhere.
"""

from __future__ import annotations

# Exact weights are kept for the whole prompt up to this many tokens, and for the tail of a longer
# one.
WINDOW_TOKENS = 512
WINDOW_TAIL = 64
# A rectangle of all layers takes no more than this in float32, or it is refused. It is kept per
# head where it then fits, and as the mean over heads otherwise.
WINDOW_BYTES = 64 * 2**20


def kept_per_head(values: int) -> bool:
    """Return whether so many values, over all layers and heads, are kept per head."""
    return 4 * values <= WINDOW_BYTES
