"""One finding about a trace, and how it names a layer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from attentropy.engine.trace.dataset import Trace


@dataclass(frozen=True)
class Observation:
    """One sentence about a trace.

    `value` is `statistic` in `unit`; `threshold` is what it was held against, `n` the number of
    cells it was taken over; None where there is none. `found` is false for "nothing found" and for
    "not measured". `view`, `layer`, `position`, `head` say where to look.
    """

    id: str
    text: str
    statistic: str
    value: float | None = None
    unit: str = "nats"
    threshold: float | None = None
    n: int | None = None
    found: bool = True
    view: str = "lens"
    layer: int | None = None
    position: int | None = None
    head: int | None = None


def layer_name(trace: Trace, entry: int | np.signedinteger) -> str:
    """An entry along `layer` in words: the model's own number, and which call if not the first."""
    call = int(trace["call"][entry]) if "call" in trace else 0
    return f"layer {int(trace['layer'][entry])}" + (f" (call {call})" if call else "")
