"""Choose before a run which weights it keeps: the map's tile and the rectangles of exact ones.

Nothing here imports torch: what a run would keep can be computed anywhere.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from attentropy.engine.arguments import read_tile, read_windows
from attentropy.engine.attention.window_size import (
    WINDOW_BYTES,
    WINDOW_TAIL,
    WINDOW_TOKENS,
    kept_per_head,
)
from attentropy.engine.errors import UsageError
from attentropy.engine.trace.schema import REQUESTED_WINDOWS
from attentropy.engine.trace.text import count

# A map with the default tile takes no more than the first in float32, and has no more tiles on a
# side than a short prompt's window has tokens; one with a requested tile takes no more than the
# second.
MAP_BYTES = 16 * 2**20
MAP_LIMIT_BYTES = 2**30

Tile = tuple[int, int]
Span = tuple[int, int]


@dataclass(frozen=True)
class Rectangle:
    """Exact weights of the queries `rows` over the tokens `keys`, each (start, stop).

    `name` is the variable they are kept in, `per_head` or as the mean over heads. `shares`: with a
    mean, −p ln p is kept too.
    """

    name: str
    rows: Span
    keys: Span
    per_head: bool
    shares: bool = False

    @property
    def suffix(self) -> str:
        """The end of its dimensions' names: the number of a requested one."""
        return self.name.removeprefix("window")


def default_window(tokens: int, layers: int, heads: int) -> Rectangle:
    """Return the rectangle kept by default: all of a short prompt, or the tail's own square."""
    side = tokens if tokens <= WINDOW_TOKENS else WINDOW_TAIL
    span = (tokens - side, tokens)
    return Rectangle("window", span, span, kept_per_head(layers * heads * side * side), shares=True)


def check_windows(value: Any) -> tuple[str, ...]:
    """Return the requested windows as texts "q0:q1,k0:k1".

    Raises `UsageError` for what `rectangles` cannot read, whatever the prompt.
    """
    texts = read_windows(value)
    if len(texts) > len(REQUESTED_WINDOWS):
        raise UsageError(
            f"`windows` takes at most {len(REQUESTED_WINDOWS)} windows, not {len(texts)}"
        )
    return texts


def rectangles(value: Any, tokens: int, layers: int, heads: int) -> list[Rectangle]:
    """Return the requested windows (see `read_windows`), whose ends count as Python's do.

    Raises `UsageError` for anything else, for one without a query or a key, and for one that is
    larger than `WINDOW_BYTES` even as the mean over heads; it says what fits.
    """
    windows = []
    for number, text in enumerate(check_windows(value), 1):
        spans = [_slice(span).indices(tokens)[:2] for span in text.split(",")]
        for (start, stop), what in zip(spans, ("query", "key"), strict=True):
            if stop <= start:
                raise UsageError(
                    f"`windows`: {text} selects no {what} in a prompt of {count(tokens, 'token')}"
                )
        (q0, q1), (k0, k1) = spans
        values = layers * (q1 - q0) * (k1 - k0)
        if 4 * values > WINDOW_BYTES:
            raise UsageError(f"`windows`: {_too_large(q1 - q0, k1 - k0, layers)}")
        per_head = kept_per_head(values * heads)
        windows.append(Rectangle(f"window{number}", (q0, q1), (k0, k1), per_head))
    return windows


def map_tile(value: Any, tokens: int, layers: int, heads: int = 1) -> Tile | None:
    """Return the tile (queries, keys) of the map that `value` requests; None for no map.

    "auto": the smallest power of two whose map of `layers` layers and `heads` heads (1: their
    mean) stays within `MAP_BYTES` and `WINDOW_TOKENS` tiles a side; no map where the exact window
    of a short prompt is one. "none", 64 and "64x32" say it outright. Raises `UsageError` for
    anything else, and for a map of more than `MAP_LIMIT_BYTES`; it says what fits.
    """
    text = read_tile(value)
    if text == "none" or (text == "auto" and tokens <= WINDOW_TOKENS):
        return None
    if text == "auto":
        return (_tile_within(MAP_BYTES, tokens, layers * heads, WINDOW_TOKENS),) * 2
    first, second = text.split("x") if "x" in text else (text, text)
    tile = int(first), int(second)
    needed = map_bytes(tile, tokens, layers, heads)
    if needed > MAP_LIMIT_BYTES:
        fits = _tile_within(MAP_LIMIT_BYTES, tokens, layers * heads)
        raise UsageError(
            f"`map_tile`: a map with tile size {text} takes {needed / 2**30:.1f} GiB, more than "
            "the "
            f"limit of {MAP_LIMIT_BYTES / 2**30:.0f} GiB; a tile size of {fits} fits"
        )
    return tile


def map_bytes(tile: Tile, tokens: int, layers: int, heads: int = 1) -> int:
    """Return the bytes that a map takes in float32."""
    return 4 * layers * heads * math.ceil(tokens / tile[0]) * math.ceil(tokens / tile[1])


def _tile_within(budget: int, tokens: int, maps: int, side: int | None = None) -> int:
    tile = 1
    while tile < tokens and (
        map_bytes((tile, tile), tokens, maps) > budget
        or (side is not None and math.ceil(tokens / tile) > side)
    ):
        tile *= 2
    return tile


def _slice(text: str) -> slice:
    return slice(*(int(end) if end else None for end in text.split(":")))


def _too_large(rows: int, keys: int, layers: int) -> str:
    fit = WINDOW_BYTES // (4 * layers)  # values of one layer
    ways = [f"{math.isqrt(fit):,} queries × {math.isqrt(fit):,} keys"]
    ways += (
        [f"{count(fit // keys, 'query', 'queries')} × {count(keys, 'key')}"] if fit >= keys else []
    )
    return (
        f"{count(rows, 'query', 'queries')} × {count(keys, 'key')} in {count(layers, 'layer')} "
        "take "
        f"{4 * layers * rows * keys / 2**20:.0f} MiB, more than the limit of "
        f"{WINDOW_BYTES // 2**20} MiB; {' or '.join(ways)} would fit"
    )
