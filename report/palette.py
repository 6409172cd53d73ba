"""The colours of values: diverging and sequential maps, and text that is readable on them."""

from __future__ import annotations

import numpy as np

# Low, middle and high, with straight lines in sRGB between them (the page prints the middle value).
MAPS = {
    "diverging": ("#2166ac", "#f7f7f7", "#b2182b"),
    "cividis": (
        "#00224e", "#123570", "#3b496c", "#575d6d", "#707173", "#8a8678", "#a59c74", "#c3b369",
        "#e1cc55", "#fee838",
    ),
    # What hiding does to a word: green, it is needed; purple, it works against it.
    "effect": ("#1b7837", "#f7f7f7", "#762a83"),
    "blues": ("#2166ac", "#f7f7f7"),  # the lower half of the diverging map: certain, or much
    "weight": ("#f7fbff", "#9ecae1", "#3182bd", "#08306b"),
    "night": ("#20252e", "#1f4f80", "#4a9bd4", "#e8f4fd"),  # the same, for a dark page
}  # fmt: skip
# How a caption names the colours of the low end, the middle and the high end.
COLOUR_NAMES = {
    "diverging": ("blue", "white", "red"),
    "cividis": ("dark blue", "grey", "yellow"),
    "effect": ("green", "white", "purple"),
    "blues": ("dark blue", "light blue", "white"),
}
PALETTES = ("diverging", "cividis")  # that a reader chooses from
MISSING = "#b9b9b9"  # captions call it light grey, because the middle of cividis is a darker grey
DARK_INK, LIGHT_INK = "#000000", "#ffffff"

# Colours of everything that is drawn around the values, on a light and on a dark page; the last
# four are those of rows whose lens cannot be read, or hardly.
LIGHT = {
    "ink": "#16181d",
    "paper": "#ffffff",
    "purple": "#7b3294",
    "green": "#1b7837",
    "blue": "#2c5fb3",
    "orange": "#b35806",
    "muted": "#5d6470",
    "unread": "#f1f3f7",
    "speck": "#a9b0bd",
    "veil": "#fefefe",
}
DARK = {
    "ink": "#e9ebf0",
    "paper": "#191c22",
    "purple": "#c390d8",
    "green": "#5fbf7a",
    "blue": "#7fb0ff",
    "orange": "#f1a340",
    "muted": "#a7aebb",
    "unread": "#23272f",
    "speck": "#5b6371",
    "veil": "#191c23",
}

_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
_SHADES = 128  # of a picture: a step is less than 1 % of the scale


def anchors(name: str) -> np.ndarray:
    """Return the colours of the map `name` as floats [n, 3] in 0..255."""
    return np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in MAPS[name]], np.float64)


def colors(values: np.ndarray, low: float, high: float, name: str = "diverging") -> np.ndarray:
    """Return the colours [..., 3] uint8 of values between `low` and `high`; NaN gets `MISSING`."""
    stops = anchors(name)
    span = high - low if high > low else 1.0
    fractions = np.clip((np.asarray(values, np.float64) - low) / span, 0, 1)
    missing = ~np.isfinite(fractions)
    positions = np.where(missing, 0, fractions) * (len(stops) - 1)
    left = np.minimum(positions.astype(int), len(stops) - 2)
    weight = (positions - left)[..., None]
    rgb = stops[left] * (1 - weight) + stops[left + 1] * weight
    rgb[missing] = [int(MISSING[i : i + 2], 16) for i in (1, 3, 5)]
    rounded_rgb: np.ndarray = np.floor(rgb + 0.5).astype(np.uint8)
    return rounded_rgb


def shades(
    values: np.ndarray, low: float, high: float, name: str, hidden: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the shade number of each value [...] uint8, and the table [130, 4] of RGBA colours.

    A picture of 128 shades takes a third of the bytes of one in full colours. NaN gets `MISSING`,
    and cells where `hidden` is true become transparent.
    """
    ramp_values = np.linspace(0, 1, _SHADES)
    table = np.concatenate(
        [colors(ramp_values, 0, 1, name), colors(np.array([np.nan]), 0, 1, name)]
    )
    table = np.concatenate([table, np.full((_SHADES + 1, 1), 255, np.uint8)], 1)
    table = np.concatenate([table, np.zeros((1, 4), np.uint8)])
    finite = np.isfinite(values)
    span = high - low if high > low else 1.0
    fractions = np.clip((np.where(finite, values, low) - low) / span, 0, 1)
    numbers = np.where(finite, np.rint(fractions * (_SHADES - 1)), _SHADES)
    if hidden is not None:
        numbers = np.where(hidden, _SHADES + 1, numbers)
    return numbers.astype(np.uint8), table


def hexes(rgb: np.ndarray) -> list[str]:
    """Return `#rrggbb` for each colour [n, 3]."""
    return [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in rgb.reshape(-1, 3)]


def inks(rgb: np.ndarray) -> list[str]:
    """Return dark or light text for each background [n, 3], whichever contrasts more (WCAG)."""
    channel = rgb.reshape(-1, 3) / 255
    linear = np.where(channel <= 0.04045, channel / 12.92, ((channel + 0.055) / 1.055) ** 2.4)
    luminance = linear @ _LUMINANCE
    return [DARK_INK if value > 0.179 else LIGHT_INK for value in luminance]


def ramp(name: str, steps: int = 64) -> list[str]:
    """Return the map `name` as `steps` colours, `#rrggbb` from low to high, for a legend."""
    return hexes(colors((np.arange(steps) + 0.5) / steps, 0, 1, name))
