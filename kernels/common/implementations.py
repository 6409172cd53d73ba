"""The names of the implementations, as `impl=` takes them."""

from typing import Literal, get_args

Implementation = Literal["triton", "native", "portable", "reference"]

IMPLEMENTATIONS: tuple[str, ...] = get_args(Implementation)
