"""What the page of a difference holds of A and of B, beside B − A."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.report.compare.difference import Difference
from attentropy.report.pack.encode import pack
from attentropy.report.read.positions import Range


def kinds(trace: Trace) -> dict[str, Any]:
    """Whose each column is, [columns]."""
    return {"kind": pack(trace.kind)} if isinstance(trace, Difference) else {}


def of_columns(trace: Trace, at: np.ndarray, bits: int | None) -> dict[str, Any]:
    """What is subtracted at columns `at`, [2, layer, columns] of each view."""
    if not isinstance(trace, Difference):
        return {}
    return {f"{view}Sides": pack(sides[..., at], bits) for view, sides in trace.sides.items()}


def of_heads(trace: Trace, ranges: Sequence[Range], bits: int | None) -> dict[str, Any]:
    """What is subtracted of single heads, [2, layer, head, columns], and B's most attended keys."""
    if not isinstance(trace, Difference) or not trace.heads_match:
        return {}
    entropies = [_spans(trace, "entropy", side, ranges) for side in (0, 1)]
    found = {"headsSides": pack(np.stack(entropies), bits)}
    if "top_key" in trace:
        found["topKeyB"] = pack(_spans(trace, "top_key", 1, ranges))
    return found


def _spans(of: Difference, name: str, side: int, ranges: Sequence[Range]) -> np.ndarray:
    variable = of.of_side(name, side)
    return np.concatenate([variable[..., start:stop].values for start, stop in ranges], -1)
