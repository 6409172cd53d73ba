"""A rival: one way to compute the numbers, prepared once and then run again and again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import NamedTuple

from torch import Tensor

Numbers = dict[str, Tensor]  # what a run computed, by the names of `docs/definitions.md`
Run = Callable[[], Numbers]


class Judgement(NamedTuple):
    """The largest error of one number, and whether every error is within its bound."""

    error: float
    is_right: bool


@dataclass(frozen=True)
class Rival:
    """A way to compute the numbers.

    prepare: `prepare(*inputs, case)` returns the function that is timed, and raises for a case that
    cannot run. group: what it is compared as. devices: those it exists for. module: what must be
    installed. work: the share of the case's floating-point operations that it cannot do without.
    """

    group: str
    prepare: Callable[..., Run]
    devices: tuple[str, ...] = ("cpu", "cuda")
    module: str | None = None
    work: float = 1.0

    def why_absent(self, device: str) -> str | None:
        """Return why it cannot be tried on this device; None if it can."""
        if device not in self.devices:
            return f"does not run on {device}"
        if self.module is not None and find_spec(self.module) is None:
            return f"{self.module} is not installed"
        return None


def judge(error: Tensor, allowed: Tensor | float) -> Judgement:
    """Judge errors by what is allowed, elementwise; what is not finite never is."""
    return Judgement(float(error.max()), bool((error <= allowed).all()))
