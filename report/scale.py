"""The colour scale of a plane: its ends, its middle, its unit, and how it divides values.

The page's script has the same scale in `data/colours.js`; the pixel tests compare the two.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from attentropy.engine.errors import UsageError
from attentropy.report.palette import COLOUR_NAMES

_THOUSANDS = 10_000  # from here on a value is written in thousands: 10k


@dataclass(frozen=True)
class Scale:
    """A range of values from `low` to `high` in `unit`, written with `digits` decimals.

    A value beyond an end takes the colour of that end; `cuts_low` and `cuts_high` say that there
    may be such values, and legend and caption then name them. `fitted`: the ends were computed from
    the values shown, so that another figure has others.

    `kind`: "sequential" in equal steps; "logarithmic" in equal steps of ln(1 + value − low);
    "diverging" about zero, which is the middle's white: low = −high.
    """

    low: float
    high: float
    unit: str = ""
    digits: int = 1
    kind: str = "sequential"
    cuts_low: bool = False
    cuts_high: bool = False
    fitted: bool = False

    def between(self, low: float, high: float) -> Scale:
        """Return the scale with other ends, which may cut values that lie between its own.

        Raises `UsageError` for ends that the scale cannot have.
        """
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise UsageError(f"`range` {low:g}:{high:g}: the low end must be below the high end")
        if self.kind == "diverging" and low != -high:
            raise UsageError(
                f"`range` {low:g}:{high:g}: the scale of a difference has zero in the middle; give "
                f"symmetric ends, such as {-high:g}:{high:g}"
            )
        if self.kind == "logarithmic" and low < 0:
            raise UsageError(
                f"`range` {low:g}:{high:g}: a logarithmic scale must start at 0 or above"
            )
        digits = max(self.digits, _digits(low, high))
        return replace(
            self, low=low, high=high, digits=digits, cuts_low=low > self.low,
            cuts_high=high < self.high, fitted=False,
        )  # fmt: skip

    def at(self, values: ArrayLike) -> np.ndarray:
        """Return the places of values between the ends, 0 to 1; NaN stays NaN."""
        numbers = np.asarray(values, np.float64)
        span = self.high - self.low if self.high > self.low else 1.0
        fractions: np.ndarray = (numbers - self.low) / span
        if self.kind == "logarithmic":
            fractions = np.log1p(np.maximum(numbers - self.low, 0)) / np.log1p(span)
        places: np.ndarray = np.clip(fractions, 0, 1)
        return places

    @property
    def middle(self) -> float:
        """The value that has the colour of the middle."""
        if self.kind == "logarithmic":
            return self.low + float(np.sqrt(1 + self.high - self.low)) - 1
        return (self.low + self.high) / 2

    def text(self, value: float) -> str:
        """Return a value as legend and caption write it, with a sign where zero is the middle."""
        is_small = abs(value) < _THOUSANDS
        number = f"{abs(value):.{self.digits}f}" if is_small else f"{abs(value) / 1000:.0f}k"
        if not float(number.removesuffix("k")):
            return number
        return ("−" if value < 0 else "+" if self.kind == "diverging" else "") + number

    def ticks(self) -> list[tuple[float, str]]:
        """Return the legend's labels with their heights, 0 at the bottom to 1 at the top."""
        low, high = "≤ " * self.cuts_low, "≥ " * self.cuts_high
        return [
            (0.0, low + self.text(self.low)),
            (0.5, self.text(self.middle)),
            (1.0, high + self.text(self.high)),
        ]

    def words(self, palette: str = "diverging") -> str:
        """Return one clause that says which value has which colour of a palette."""
        low, middle, high = COLOUR_NAMES[palette]
        unit = f" {self.unit}" if self.unit else ""
        same = " (no difference)" if self.kind == "diverging" else ""
        how = " on a logarithmic scale" if self.kind == "logarithmic" else ""
        below, above = " and below" * self.cuts_low, " and above" * self.cuts_high
        fitted = " (range fitted to the values shown)" * self.fitted
        return (
            f"{low} {self.text(self.low)}{below}, {middle} {self.text(self.middle)}{same}, "
            f"{high} {self.text(self.high)}{unit}{above}{how}{fitted}"
        )

    def facts(self) -> dict[str, Any]:
        """Return the scale as the page's script reads it, with its words for each palette."""
        return asdict(self) | {"words": {palette: self.words(palette) for palette in COLOUR_NAMES}}


SHARES = Scale(0.0, 1.0)


def _digits(low: float, high: float) -> int:
    """Return the decimals that two ends and their middle need, at most four."""
    values = (low, high, (low + high) / 2)
    exact = (d for d in range(4) if all(abs(round(v, d) - v) < 1e-9 for v in values))
    return next(exact, 4)
