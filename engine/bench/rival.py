"""What a rival is: a way to the same numbers, prepared once and then run again and again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from torch import Tensor

Found = dict[str, Tensor]  # what a run computed, by the names of the project's definitions
Run = Callable[[], Found]


@dataclass(frozen=True)
class Rival:
    """`prepare(*inputs, case)` gives the function that is timed; what cannot run there raises.

    group: what it is compared as. devices: where it exists. module: what must be installed.
    work: the part of the case's floating-point operations that it cannot do without.
    """

    group: str
    prepare: Callable[..., Run]
    devices: tuple[str, ...] = ("cpu", "cuda")
    module: str | None = None
    work: float = 1.0

    def absent(self, device: str) -> str | None:
        """Why it need not even be tried on this device; None if it is there."""
        if device not in self.devices:
            return f"not on {device}"
        if self.module is not None and find_spec(self.module) is None:
            return f"{self.module} is not installed"
        return None


def judged(error: Tensor, allowed: Any) -> tuple[float, bool]:
    """The largest error, and whether each is allowed; what is not finite never is."""
    return float(error.max()), bool((error <= allowed).all())
