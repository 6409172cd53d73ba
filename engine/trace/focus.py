"""How focused attention is apart from the sink keys, on rows that have keys enough to tell."""

from __future__ import annotations

import numpy as np

from attentropy.engine.trace.sink_keys import visible_sinks
from attentropy.engine.trace.types import Array

# Queries with fewer keys say little about how focused a head is.
FOCUS_KEYS = 16


def focus(
    entropy: Array, visible: Array, without_sinks: Array | None = None, is_sink: Array | None = None
) -> tuple[Array, Array]:
    """Return the sums of normalized entropy without sink keys, and the numbers of rows, [head].

    Over the rows of a layer that have `FOCUS_KEYS` keys besides the sink keys. entropy
    [head, query] in nats is that of all `visible` [query] keys, which counts where no sink key was
    hidden; `without_sinks`, of the same shape and NaN there, takes its place elsewhere. A query at
    one of the sink keys, `is_sink` [query], has none. Without these two, all keys count.
    """
    keys = np.asarray(visible, np.int64)
    if without_sinks is not None and is_sink is not None:
        is_hidden = np.isfinite(without_sinks)
        entropy = np.where(is_hidden, without_sinks, np.where(is_sink, np.nan, entropy))
        keys = keys - np.where(is_hidden.any(0), visible_sinks(is_sink, keys), 0)
    is_counted = np.isfinite(entropy) & (keys >= FOCUS_KEYS)
    ceiling = np.log(np.maximum(keys, 2))
    # Rows of a chunk that was read before a key became a sink have one key more than is counted.
    values = np.minimum(np.where(is_counted, entropy, 0.0), ceiling) / ceiling
    return values.sum(-1, dtype=np.float64), is_counted.sum(-1)
