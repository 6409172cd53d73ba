"""The colour scale of a plane: its ends, its middle, its unit, and how it divides values.

The page's script has the same scale in `data/colours.js`; the pixel tests compare the two.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from attentropy.report.palette import COLOUR_NAMES

_THOUSANDS = 10_000  # from here on a value is written in thousands: 10k


@dataclass(frozen=True)
class Scale:
    """A range of values from `low` to `high` in `unit`, written with `digits` decimals.

    A value beyond an end takes the colour of that end.

    `kind`: "sequential" in equal steps; "logarithmic" in equal steps of ln(1 + value − low);
    "diverging" about zero, which is the middle's white: low = −high.
    """

    low: float
    high: float
    unit: str = ""
    digits: int = 1
    kind: str = "sequential"

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
        ends = ((0.0, self.low), (0.5, self.middle), (1.0, self.high))
        return [(height, self.text(value)) for height, value in ends]

    def words(self, palette: str = "diverging") -> str:
        """Return one clause that says which value has which colour of a palette."""
        low, middle, high = COLOUR_NAMES[palette]
        unit = f" {self.unit}" if self.unit else ""
        same = " (no difference)" if self.kind == "diverging" else ""
        how = " on a logarithmic scale" if self.kind == "logarithmic" else ""
        return (
            f"{low} {self.text(self.low)}, {middle} {self.text(self.middle)}{same}, "
            f"{high} {self.text(self.high)}{unit}{how}"
        )

    def facts(self) -> dict[str, Any]:
        """Return the scale as the page's script reads it, with its words for each palette."""
        return asdict(self) | {"words": {palette: self.words(palette) for palette in COLOUR_NAMES}}
