"""JSON from a stranger, read within bounds: the one reader of such text.

Python's own reader takes nesting without end, numbers of any length, NaN, keys that occur twice and
halves of characters, each of which some later step cannot take.
"""

from __future__ import annotations

import json
import math
from typing import Any

MAX_DEPTH = 32
MAX_BYTES = 2**26
_MOST = 2**63  # integers are smaller than this
_SURROGATE = "\\ud"  # how JSON escapes the half of a character


class BadJson(ValueError):
    """Text that is not JSON within the bounds, in words that follow "is"."""


def parse_json(
    text: str | bytes,
    *,
    max_bytes: int = MAX_BYTES,
    keep_halves: bool = False,
    finite: bool = True,
) -> Any:
    """Return the value of a JSON text.

    Halves of characters, which no other text can hold, are replaced by U+FFFD; keep_halves: they
    stay, for texts that are marked where they are shown. finite: refuse NaN and infinity, which a
    run whose model gives them may have written.

    Raises `BadJson` where the text is longer than `max_bytes`, is not UTF-8, is nested deeper than
    `MAX_DEPTH`, has a key twice in one object, a number that is not finite, or an integer of more
    than 64 bits.
    """
    if len(text) > max_bytes:
        raise BadJson("too large")
    try:
        text = text.decode("utf-8") if isinstance(text, bytes) else text
        value = json.loads(
            text,
            parse_constant=_refuse_number if finite else float,
            parse_float=_finite if finite else float,
            parse_int=_integer,
            object_pairs_hook=_object,
        )
    except RecursionError as error:
        raise BadJson("nested too deeply") from error
    except UnicodeDecodeError as error:
        raise BadJson(f"not valid JSON (not UTF-8 at byte {error.start})") from error
    except ValueError as error:
        raise BadJson(f"not valid JSON ({str(error)[:80]})") from error
    if not _is_flat(value, MAX_DEPTH):
        raise BadJson("nested too deeply")
    return whole(value) if not keep_halves and _has_halves(text) else value


def whole(value: Any) -> Any:
    """Return a value of JSON with U+FFFD in place of each half of a character."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {whole(key): whole(inner) for key, inner in value.items()}
    return [whole(inner) for inner in value] if isinstance(value, list) else value


def _has_halves(text: str) -> bool:
    return _SURROGATE in text or "\\uD" in text or not _is_encodable(text)


def _is_encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        raise ValueError("a key occurs twice in one object")
    return content


def _integer(text: str) -> int:
    if len(text) > 20:
        raise ValueError("a number is out of range")
    number = int(text)
    if abs(number) >= _MOST:
        raise ValueError("a number is out of range")
    return number


def _refuse_number(text: str) -> float:
    raise ValueError(f"{text} is not a JSON number")


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse_number(text[:20])


def _is_flat(value: Any, depth: int) -> bool:
    """Return whether lists and dictionaries are nested at most `depth` levels deep."""
    level = [value]
    for _ in range(depth):
        inner = [list(v.values()) if isinstance(v, dict) else v for v in level
                 if isinstance(v, dict | list)]  # fmt: skip
        if not inner:
            return True
        level = [v for values in inner for v in values]
    return False
