"""The scale that a plane's colours are read on: its ends and its middle, its unit, how it divides.

The page's script has the same in `data/colours.js`; the pixel tests compare the two.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from attentropy.report.palette import CALLED

_THOUSANDS = 10_000  # written as 10k from here on


@dataclass(frozen=True)
class Scale:
    """From `low` to `high` in `unit`, written with `digits` decimals; what lies beyond an end takes
    that end's colour.

    `kind`: "sequential" in equal steps; "logarithmic" in equal steps of ln(1 + value − low);
    "diverging" about zero, which is the middle's white: low = −high.
    """

    low: float
    high: float
    unit: str = ""
    digits: int = 1
    kind: str = "sequential"

    def at(self, values: ArrayLike) -> np.ndarray:
        """Where values lie between the ends, 0 to 1; NaN stays."""
        given = np.asarray(values, np.float64)
        span = self.high - self.low if self.high > self.low else 1.0
        if self.kind == "logarithmic":
            given = np.log1p(np.maximum(given - self.low, 0)) / np.log1p(span)
            return np.clip(given, 0, 1)
        return np.clip((given - self.low) / span, 0, 1)

    @property
    def middle(self) -> float:
        """The value of the middle's colour."""
        if self.kind == "logarithmic":
            return self.low + float(np.sqrt(1 + self.high - self.low)) - 1
        return (self.low + self.high) / 2

    def text(self, value: float) -> str:
        """A value as the legend and the caption write it: with a sign where zero is the middle."""
        small = abs(value) < _THOUSANDS
        number = f"{abs(value):.{self.digits}f}" if small else f"{abs(value) / 1000:.0f}k"
        if not float(number.removesuffix("k")):
            return number
        return ("−" if value < 0 else "+" if self.kind == "diverging" else "") + number

    def ticks(self) -> list[tuple[float, str]]:
        """What the legend writes where, 0 at its bottom to 1."""
        ends = ((0.0, self.low), (0.5, self.middle), (1.0, self.high))
        return [(at, self.text(value)) for at, value in ends]

    def words(self, palette: str = "diverging") -> str:
        """Which value has which of a palette's colours, in one clause."""
        low, middle, high = CALLED[palette]
        unit = f" {self.unit}" if self.unit else ""
        same = " (no difference)" if self.kind == "diverging" else ""
        how = " on a logarithmic scale" if self.kind == "logarithmic" else ""
        return (
            f"{low} {self.text(self.low)}, {middle} {self.text(self.middle)}{same}, "
            f"{high} {self.text(self.high)}{unit}{how}"
        )

    def facts(self) -> dict[str, Any]:
        """What the page's script reads of it; its words by palette."""
        return asdict(self) | {"words": {palette: self.words(palette) for palette in CALLED}}
