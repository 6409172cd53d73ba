"""Maps, exact windows and head scores of a trace."""

from __future__ import annotations

import numpy as np

from attentropy.engine.maps import head_scores as heads
from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.schema import ANSWER_SCORES, REQUESTED_WINDOWS
from attentropy.report import planes

LONG = 512  # positions from which on entropy is drawn against the position

# The titles of the heads' scores, over the prompt unless they say "answer"; their thresholds are in
# `engine.maps.head_scores`.
SCORES = {
    "entropy": "mean attention entropy (nats)",
    "sink": "sink: mean attention on the first key",
    "local": f"local: mean attention on the last {heads.LOCAL_KEYS} keys",
    "previous": "previous: mean attention on the previous token",
    "induction": "induction: mean attention on the token after the previous occurrence",
    "diffuse": "diffuse: mean normalized entropy",
}
_ANSWER = "answer_"
SCORES |= {f"{_ANSWER}{name}": f"answer: {SCORES[name]}" for name in ANSWER_SCORES}


def has_map(trace: Trace) -> bool:
    """Return whether the map is made of tiles: the exact window does not hold the whole prompt."""
    if "map" not in trace:
        return False
    sizes = trace.dataset.sizes
    covered = min(sizes.get("window_query", 0), sizes.get("window_key", 0))
    return covered < trace.prompt_tokens


def window_names(trace: Trace) -> list[str]:
    """Return the names of the exact windows in the trace, the automatic one first."""
    return [
        name for name in ("window", *(f"window{i}" for i in REQUESTED_WINDOWS)) if name in trace
    ]


def score_names(trace: Trace) -> list[str]:
    """Return the names of the scores in the trace; those of an answer only if measured."""
    return [
        name
        for name in SCORES
        if f"head_{name}" in trace
        and (not name.startswith(_ANSWER) or np.isfinite(trace[f"head_{name}"]).any())
    ]


def score_threshold(name: str) -> float | None:
    """Return the value above which a head has the score's name; None for a score without one."""
    name = name.removeprefix(_ANSWER)
    return heads.SCORES[name].threshold if name in heads.SCORES else None


def has_spread(trace: Trace) -> bool:
    """Return whether entropy is drawn against the position, under ln of the visible keys."""
    return "visible" in trace and trace.dataset.sizes["position"] > LONG


def first_layer(attention: planes.AttentionPlanes) -> int:
    """Return the first layer with a value."""
    measured = np.flatnonzero(np.isfinite(attention.mean).any(1))
    return int(measured[0]) if measured.size else 0


def pool_tiles(trace: Trace, layer: int, pool: int) -> np.ndarray:
    """Return one layer's map, [head, rows, columns], with `pool` × `pool` tiles as one.

    The shares of the keys are added up and the queries averaged, so that a row still sums to 1.
    """
    values = trace.dataset["map"][layer].values.astype(np.float64)
    if pool == 1:
        return values
    rows = np.diff(np.append(trace["map_query"], trace.prompt_tokens))[:, None]
    starts = np.arange(0, values.shape[1], pool)
    values = np.add.reduceat(values * rows, starts, axis=1) / np.add.reduceat(rows, starts)
    return np.add.reduceat(values, np.arange(0, values.shape[2], pool), axis=2)


def tile_edges(starts: np.ndarray, pool: int, n: int) -> list[int]:
    """Return the first positions of the tiles, and where the last one ends."""
    return [*(int(at) for at in starts[::pool]), n]
