"""Whether the numbers in a stranger's attributes are ones that a trace can have."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from attentropy.engine.errors import TraceError

_MOST = 2.0**63
_COUNT = (0.0, _MOST)

# The attributes with numbers that a page prints: by path, the least and the largest value. A path
# that ends with "*" stands for everything below it.
RANGES: Mapping[str, tuple[float, float]] = {
    **{
        f"model/{name}": _COUNT
        for name in ("layers", "heads", "kv_heads", "hidden_size", "vocabulary", "positions",
                     "parameters")
    },
    "prompt/tokens": (1, _MOST),
    **{f"partial/{name}": _COUNT for name in ("tokens", "done", "chunks", "answered")},
    **{f"placebo/{name}": _COUNT for name in ("questions", "tokens")},
    "options/temperature": (0, _MOST),
    "options/top_p": (0, 1),
    "storage_error/*": (0, _MOST),
    # What the parts of a profile add up to is off by a share of the whole; the run may take less
    # memory than one without recording.
    "profile/parts_off_by": (-1, _MOST),
    "profile/extra_bytes": (-_MOST, _MOST),
    "profile/*": (0, _MOST),
}  # fmt: skip


def check_numbers(attributes: Mapping[str, Any], trace: str) -> None:
    """Raise `TraceError` for an integer that no float could hold, or a number out of its range."""
    for path, value in _numbers(attributes, ""):
        if isinstance(value, int) and abs(value) >= 2**63:
            raise TraceError(f"{trace}: a number in its attributes is out of range")
        for name, (low, high) in RANGES.items():
            is_own = path.startswith(name[:-1]) if name.endswith("*") else path == name
            if is_own:
                if not (math.isfinite(value) and low <= value <= high):
                    raise TraceError(f"{trace}: its attribute {path} is {value:.6g}, out of range")
                break


def _numbers(value: Any, path: str) -> Iterator[tuple[str, float]]:
    """Yield each number in `value` with its path; the items of a list have that of the list."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _numbers(item, f"{path.rstrip('/')}/{key}".lstrip("/"))
    elif isinstance(value, list):
        for item in value:
            yield from _numbers(item, path)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path, value
