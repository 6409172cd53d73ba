"""What a caller may give for an argument, brought into the one form that the engine reads.

Python and the command line go through the same functions: a value of Python's own (numbers, slices,
lists, arrays) and the text that a user types on a terminal become the same value here. Each kind of
argument has one sentence for what it does not take, which names the argument in backticks; the
command line prints such a name as its option.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from operator import index
from typing import Any, TypeAlias

import numpy as np

from attentropy.engine.errors import UsageError

Selection: TypeAlias = str | int | slice | range | Sequence[int] | np.ndarray | None
"""Layers, heads or positions: "0,5,10:", "-4:", 3, [0, 5], range(8), slice(-4, None), an array."""

Names: TypeAlias = str | Sequence[str] | None
"""Some of a few names: "entropy,lse", ["entropy", "lse"], "all"; None for the default."""

Span: TypeAlias = str | slice | tuple[int | None, int | None]
"""Positions from a to before b, as Python counts them: "a:b", slice(a, b), (a, b)."""

_PART = re.compile(r"-?[0-9]+|(-?[0-9]+)?:(-?[0-9]+)?(:-?0*[1-9][0-9]*)?")
_SPAN = re.compile(r"(-?[0-9]+)?:(-?[0-9]+)?")
_TILE = re.compile(r"[1-9][0-9]{0,8}(x[1-9][0-9]{0,8})?")
_WINDOW = re.compile(r"(-?[0-9]*):(-?[0-9]*),(-?[0-9]*):(-?[0-9]*)")
_MOST_DIGITS = 10  # of a position

_DECIMAL = {"": 1, "k": 1000, "m": 1000**2, "g": 1000**3, "t": 1000**4}
_BINARY = {"k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}
_BYTES = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([kmgt]?)(i?)(b?)", re.IGNORECASE | re.ASCII)


def refuse(argument: str, what: str, value: Any) -> UsageError:
    """Return the error of an argument that must be `what` and is `value`, one line."""
    display = " ".join(repr(value).split())
    display = display if len(display) <= 60 else f"{display[:59]}…"
    return UsageError(f"`{argument}` must be {what}, not {display}")


def read_selection(value: Selection, argument: str, words: Sequence[str] = ("all",)) -> str | None:
    """Return the text of a selection of layers, heads or positions; None for the default.

    words: the texts that are no numbers. Raises `UsageError` for what selects nothing whatever
    their number.
    """
    if value is None:
        return None
    text = value if isinstance(value, str) else _selection_text(value)
    parts = [part.strip() for part in text.split(",")] if text is not None else []
    if text is None or not all(part in words or _PART.fullmatch(part) for part in parts):
        named = " or ".join(f'"{word}"' for word in words)
        raise refuse(argument, f'numbers, a slice, a string such as "0,5,10:", or {named}', value)
    return ",".join(parts)


def _selection_text(value: Any) -> str | None:
    """Return what a user would type for these numbers; None for what are none."""
    value = _plain(value)
    if isinstance(value, slice):
        ends = [_integer(end, none=True) for end in (value.start, value.stop, value.step)]
        if "" in ends:
            return None
        start, stop, step = ("" if end is None else str(end) for end in ends)
        return f"{start}:{stop}" + (f":{step}" if step not in ("", "1") else "")
    if isinstance(value, range) and min(value.start, value.stop, value.step) >= 0 and value:
        return _selection_text(slice(value.start, value.stop, value.step))
    if isinstance(value, (list, tuple, range, set, frozenset)):
        parts = [_selection_text(part) for part in value]
        return None if None in parts or not parts else ",".join(str(part) for part in parts)
    number = _integer(value)
    return None if number == "" else str(number)


def read_names(
    value: Names, argument: str, possible: Sequence[str], default: Sequence[str] = ()
) -> tuple[str, ...]:
    """Return some of the names `possible`, each once, in the order of the caller.

    "all" stands for all of them and "none" for none, alone; None for `default`. Raises
    `UsageError`.
    """
    if value is None:
        return tuple(default)
    parts = value.split(",") if isinstance(value, str) else _plain(value)
    what = f'one or more of {", ".join(possible)}, or "all"'
    if not isinstance(parts, (list, tuple, set, frozenset)) or not all(
        isinstance(part, str) for part in parts
    ):
        raise refuse(argument, what, value)
    names = tuple(dict.fromkeys(part.strip() for part in parts))
    if names in (("none",), ()):
        return ()
    if names == ("all",):
        return tuple(possible)
    if unknown := [name for name in names if name not in possible]:
        raise refuse(argument, what, unknown[0])
    return names


def read_tile(value: str | int | tuple[int, int] | None, argument: str = "map_tile") -> str:
    """Return a tile of the map as text: "auto" (also for None), "none", "64", or "64x32"."""
    if value is None:
        return "auto"
    sides = _plain(value)
    if isinstance(sides, (list, tuple)) and len(sides) == 2:
        text = "x".join(str(_integer(side)) for side in sides)
    else:
        text = sides if isinstance(sides, str) else str(_integer(sides))
    if text not in ("auto", "none") and not _TILE.fullmatch(text):
        what = '"auto", "none", a size in tokens such as 64, or queries × keys such as "64x32"'
        raise refuse(argument, what, value)
    return text


def read_windows(value: Any, argument: str = "windows") -> tuple[str, ...]:
    """Return rectangles of queries by keys as texts "q0:q1,k0:k1".

    A rectangle is such a text, or a pair of spans; one that stands alone is one rectangle.
    """
    if value is None:
        return ()
    if isinstance(value, str) or _is_rectangle(value):
        value = (value,)
    if not isinstance(value, (list, tuple)):
        raise _not_a_window(argument, value)
    return tuple(_window_text(one, argument) for one in value)


def _is_rectangle(value: Any) -> bool:
    """Return whether a value is a pair of spans, and not several rectangles."""
    return (
        isinstance(value, (list, tuple))
        and len(value) == 2
        and all(_span_text(part) is not None for part in value)
        and not all(isinstance(part, str) and "," in part for part in value)
    )


def _window_text(value: Any, argument: str) -> str:
    spans = [] if isinstance(value, str) or not _is_rectangle(value) else value
    text = value if isinstance(value, str) else ",".join(str(_span_text(part)) for part in spans)
    match = _WINDOW.fullmatch(text.replace(" ", ""))
    if match is None or "-" in match.groups():
        raise _not_a_window(argument, value)
    if max(len(end) for end in match.groups()) > _MOST_DIGITS:
        raise UsageError(f"`{argument}`: the numbers in {text[:60]!r} are too large")
    return match[0]


def _not_a_window(argument: str, value: Any) -> UsageError:
    return refuse(argument, 'ranges of queries and keys such as "-64:,0:512"', value)


def read_span(value: Span, argument: str) -> str:
    """Return positions from a to before b as the text "a:b"."""
    text = _span_text(value)
    if text is None:
        raise refuse(argument, 'a range of positions such as "0:512" or "-64:"', value)
    return text


def read_spans(value: Any, argument: str) -> tuple[str, ...]:
    """Return several spans as texts "a:b"; one that stands alone is one span."""
    if value is None:
        return ()
    if _span_text(value) is not None:
        value = (value,)
    if not isinstance(value, (list, tuple)):
        raise refuse(argument, 'a range of positions such as "0:512" or "-64:"', value)
    return tuple(read_span(one, argument) for one in value)


def _span_text(value: Any) -> str | None:
    if isinstance(value, str):
        return value.strip() if _SPAN.fullmatch(value.strip()) else None
    if isinstance(value, range) and value.step == 1 and value.start >= 0:
        value = (value.start, value.stop)
    if isinstance(value, slice) and value.step in (None, 1):
        value = (value.start, value.stop)
    value = _plain(value)
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        return None
    ends = [_integer(end, none=True) for end in value]
    return None if "" in ends else ":".join("" if end is None else str(end) for end in ends)


def read_count(value: Any, argument: str, least: int = 1) -> int:
    """Return a whole number of at least `least`; a text may have k for 1,024 or m for 1,024²."""
    what = f"an integer of at least {least:,}"
    if isinstance(value, str):
        try:
            value = parse_count(value)
        except ValueError as error:
            raise refuse(argument, what, value) from error
    number = _integer(value)
    if not isinstance(number, int) or number < least:
        raise refuse(argument, what, value)
    return number


def read_number(
    value: Any, argument: str, what: str, low: float, high: float = math.inf, *,
    is_open: bool = False,
) -> float:  # fmt: skip
    """Return a finite number from `low` (above it, with `is_open`) to `high`; `what` names it."""
    plain = _plain(value)
    is_number = isinstance(plain, (int, float)) and not isinstance(plain, bool)
    if not is_number or not math.isfinite(plain) or not low <= plain <= high:
        raise refuse(argument, what, value)
    if is_open and plain == low:
        raise refuse(argument, what, value)
    return float(plain)


def read_bytes(value: Any, argument: str) -> int:
    """Return a number of bytes; a text may have a unit, "500MB" or "2GiB"."""
    size: Any = value
    if isinstance(value, str):
        try:
            size = parse_bytes(value)
        except ValueError:
            size = 0
    size = _integer(size)
    if not isinstance(size, int) or size < 1:
        raise refuse(argument, 'a number of bytes such as 4096, "500MB" or "2GiB"', value)
    return size


def read_choice(value: Any, argument: str, possible: Sequence[str]) -> str:
    """Return a text that is one of `possible`."""
    if not isinstance(value, str) or value not in possible:
        raise refuse(argument, either(possible), value)
    return value


def either(possible: Sequence[str]) -> str:
    """Return the names in words: "svg, png or csv"."""
    *others, last = possible
    return f"{', '.join(others)} or {last}" if others else last


def read_torch_name(value: Any) -> str | None:
    """Return the name of a torch.dtype or a torch.device as the command line writes it."""
    return None if value is None else str(value).removeprefix("torch.")


def parse_bytes(text: str) -> int:
    """Return the number of bytes in `text`: 4096, 500MB (powers of 1,000), 2GiB (of 1,024).

    Raises:
        ValueError: `text` is not a number of bytes, or less than one byte.
    """
    match = _BYTES.fullmatch(text.strip())
    if match is None or (match[3] and not match[2]):
        raise ValueError(f"{text!r} is not a size; give one such as 500MB or 2GiB")
    unit = match[2].lower()
    size = int(float(match[1]) * (_BINARY[unit] if match[3] else _DECIMAL[unit]))
    if size < 1:
        raise ValueError(f"{text!r} is less than one byte")
    return size


def parse_count(text: str) -> int:
    """Return the count in `text`: 4096, 4k (4,096) or 1m.

    Raises:
        ValueError: `text` is not a whole number of at least 1.
    """
    digits, factor = (text[:-1], _BINARY[text[-1]]) if text[-1:] in ("k", "m") else (text, 1)
    if not digits.isdecimal():
        raise ValueError(f"{text!r} is not a size; give sizes such as 1k,4096")
    if int(digits) < 1:
        raise ValueError("a size must be at least 1")
    return int(digits) * factor


def _plain(value: Any) -> Any:
    """Return an array or a tensor as a number or a list."""
    return value.tolist() if hasattr(value, "tolist") else value


def _integer(value: Any, *, none: bool = False) -> int | str | None:
    """Return a whole number; None for None where `none` is true, and "" for anything else."""
    if value is None and none:
        return None
    if isinstance(value, (bool, np.bool_)):
        return ""
    try:
        return index(value)
    except TypeError:
        return ""
