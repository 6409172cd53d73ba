"""The colour scale of a plane: its ends, its middle, its unit, and how it divides values.

The page's script has the same scale in `data/colours.js`; the pixel tests compare the two.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from attentropy.engine.errors import UsageError
from attentropy.report import palette as palettes
from attentropy.report.palette import COLOUR_NAMES, PALETTES

_MOST_FIT = 0.75  # of the full range: where a fitted one takes more, a figure opens on the full one
_THOUSANDS = 10_000  # from here on a value is written in thousands: 10k


@dataclass(frozen=True)
class Scale:
    """A range of values from `low` to `high` in `unit`, written with `digits` decimals.

    A value beyond an end takes the colour of that end; `cuts_low` and `cuts_high` say that there
    may be such values, and legend and caption then name them. `fitted`: the ends were computed from
    the values shown, so that another figure has others; `full` is the high end that it had before.

    `dark` is the end with the dark blue, which means certain, or much. `hue`: "sequential" from
    there to white, "diverging" on to red, where the other end means something of its own. `ends`
    are words for the low and the high end.

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
    full: float | None = None
    dark: Literal["low", "high"] = "low"
    hue: Literal["diverging", "sequential"] = "diverging"
    ends: tuple[str, str] = ("", "")

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
        first, last = self.ends
        keeps_words = self.kind == "diverging"  # whose ends are a direction, and no extreme value
        return replace(
            self, low=low, high=high, digits=digits, cuts_low=low > self.low,
            cuts_high=high < self.high, fitted=False, full=None,
            ends=(
                first if keeps_words or low == self.low else "",
                last if keeps_words or high == self.high else "",
            ),
        )  # fmt: skip

    def fit(self, largest: float) -> Scale:
        """Return the scale from its low end to a round number at or above `largest`.

        A scale in nats ends at a multiple of half a nat. One that reaches as far already stays as
        it is, and so do differences, whose zero must stay in the middle.
        """
        above = largest - self.low
        if self.kind == "diverging" or not math.isfinite(above) or above < 0:
            return self
        end = self.low + (
            max(1, math.ceil(2 * above)) / 2 if self.unit == "nats" else _round(above)
        )
        if end >= self.high:
            return self
        digits = max(self.digits, _digits(self.low, end))
        ends = self.ends[0], "largest shown" if self.ends[1] else ""  # not what the full end means
        return replace(self, high=end, digits=digits, fitted=True, full=self.high, ends=ends)

    @property
    def fits(self) -> bool:
        """Whether the scale may be fitted: its ends are neither a caller's nor fitted already."""
        return not (self.fitted or self.cuts_low or self.cuts_high)

    def leaves_out_much(self, fitted: Scale) -> bool:
        """Return whether a fitted scale leaves out more than a quarter of this one's range."""
        return fitted.high - self.low < _MOST_FIT * (self.high - self.low)

    def at(self, values: ArrayLike) -> np.ndarray:
        """Return the places of values between the ends, 0 to 1; NaN stays NaN."""
        numbers = np.asarray(values, np.float64)
        span = self.high - self.low if self.high > self.low else 1.0
        fractions: np.ndarray = (numbers - self.low) / span
        if self.kind == "logarithmic":
            fractions = np.log1p(np.maximum(numbers - self.low, 0)) / np.log1p(span)
        places: np.ndarray = np.clip(fractions, 0, 1)
        return places

    def shade_at(self, values: ArrayLike) -> np.ndarray:
        """Return the places of values from the dark end, 0, to the other one, 1; NaN stays NaN."""
        places = self.at(values)
        return places if self.dark == "low" else 1 - places

    def map_name(self, palette: str) -> str:
        """Return the map of colours that stands for one of `palette.PALETTES` on this scale."""
        return "blues" if palette == "diverging" and self.hue == "sequential" else palette

    def colors(self, values: ArrayLike, palette: str = "diverging") -> np.ndarray:
        """Return the colours [..., 3] uint8 of values; NaN gets that of missing values."""
        return palettes.colors(self.shade_at(values), 0, 1, self.map_name(palette))

    def shades(self, values: ArrayLike, palette: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the shade number of each value, and the table of colours; see `palette.shades`."""
        return palettes.shades(self.shade_at(values), 0, 1, self.map_name(palette))

    def ramp(self, palette: str = "diverging") -> list[str]:
        """Return the colours from the low end to the high end, `#rrggbb`, for a legend."""
        steps = palettes.ramp(self.map_name(palette))
        return steps if self.dark == "low" else steps[::-1]

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
        names = COLOUR_NAMES[self.map_name(palette)]
        low, middle, high = names if self.dark == "low" else names[::-1]
        unit = f" {self.unit}" if self.unit else ""
        same = " (no difference)" if self.kind == "diverging" else ""
        how = " on a logarithmic scale" if self.kind == "logarithmic" else ""
        below, above = " and below" * self.cuts_low, " and above" * self.cuts_high
        fitted = " (range fitted to the values shown)" * self.fitted
        if self.full is not None:
            fitted = f" ({self.fit_words})"
        first, last = (f" ({word})" if word else "" for word in self.ends)
        return (
            f"{low} {self.text(self.low)}{below}{first}, {middle} {self.text(self.middle)}{same}, "
            f"{high} {self.text(self.high)}{unit}{above}{last}{how}{fitted}"
        )

    @property
    def fit_words(self) -> str:
        """What the legend says of a scale that was fitted: "fitted: 0 to 5 of 7.3 nats"."""
        if self.full is None:
            return ""
        low, high = (f"{value:,g}" for value in (self.low, self.high))
        unit = f" {self.unit}" if self.unit else ""
        return f"fitted: {low} to {high} of {replace(self, digits=1).text(self.full)}{unit}"

    def facts(self) -> dict[str, Any]:
        """Return the scale as the page's script reads it, with its words for each palette."""
        return asdict(self) | {
            "words": {palette: self.words(palette) for palette in PALETTES},
            "maps": {palette: self.map_name(palette) for palette in PALETTES},
            "fit_words": self.fit_words,
        }


SHARES = Scale(0.0, 1.0)


def _round(value: float) -> float:
    """Return the next of …, 0.1, 0.2, 0.5, 1, 2, 5, 10, … that is not below a value."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(power * f for f in (1, 2, 5, 10) if power * f >= value * (1 - 1e-9))


def _digits(low: float, high: float) -> int:
    """Return the decimals that two ends and their middle need, at most four."""
    values = (low, high, (low + high) / 2)
    exact = (d for d in range(4) if all(abs(round(v, d) - v) < 1e-9 for v in values))
    return next(exact, 4)
