"""The cache of keys and values, whose name is `cache` from transformers 5.24 on.

Before, arguments and outputs called it `past_key_values`; that name now warns, and goes in 5.40.
"""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature
from typing import Any

from transformers import masking_utils

_NAMES = ("cache", "past_key_values")
# Models and masks take it under the same name.
_ARGUMENT = next(n for n in _NAMES if n in signature(masking_utils.create_causal_mask).parameters)


def cache_of(output: Any) -> Any:
    """Return the cache that a pass left in its output, None where it left none."""
    return cache_in(getattr(output, "__dict__", {}))  # an attribute's old name would warn


def cache_in(arguments: Mapping[str, Any]) -> Any:
    """Return the cache among a pass's arguments by name, None where there is none."""
    return next((arguments[name] for name in _NAMES if arguments.get(name) is not None), None)


def continuing(cache: Any) -> dict[str, Any]:
    """Return the argument with which a pass continues the cache; none for None."""
    return {} if cache is None else {_ARGUMENT: cache}
