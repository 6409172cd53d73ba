"""Numbers with their units, as people read them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence

from attentropy.engine.trace.text import count as count

_NUMBER_AND_UNIT = re.compile(r"(?<=\d) (?=%|nats\b|ms\b|[kMG]B\b|[GT]FLOP/s)")

_MORE_DIGITS = 8  # that a number may have besides its usual ones


def format_bytes(size: float) -> str:
    """Return a number of bytes in the unit that people read, such as `1.2 MB`."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:,.1f} TB"


def format_flops(flops: float) -> str:
    """Return a number of floating-point operations in its unit, such as `5.28 TFLOP`."""
    for unit in ("", "k", "M", "G", "T", "P"):
        if flops < 999.5:
            return f"{flops:.3g} {unit}FLOP"
        flops /= 1000
    return f"{flops:,.3g} EFLOP" if flops < 999.5 else f"{flops:,.0f} EFLOP"


def format_seconds(seconds: float) -> str:
    """Return a time in the units that people read: `0.5 s`, `7 min 47 s`, `3 h 20 min`, `26 days`.

    At most two units, and no more digits than a prediction is worth.
    """
    if seconds < 9.95:
        return f"{seconds:.1f} s" if seconds >= 0.05 else "under 0.1 s"
    if round(seconds) < 60:
        return f"{seconds:.0f} s"
    if round(seconds) < 3600:
        return _two_units(round(seconds), "min", "s", 60)
    if round(seconds / 60) < 48 * 60:
        return _two_units(round(seconds / 60), "h", "min", 60)
    days = seconds / 86_400
    return (
        f"{days:,.0f} days" if days >= 9.5 else _two_units(round(seconds / 3600), "days", "h", 24)
    )


def _two_units(value: int, large: str, small: str, factor: int) -> str:
    whole, rest = divmod(value, factor)
    return f"{whole} {large} {rest} {small}" if rest else f"{whole} {large}"


def percent(share: float) -> str:
    """Return a share in percent, `25 %`; below ten with one decimal, `0.3 %`.

    A share that rounding took below zero is zero.
    """
    if not math.isfinite(share):
        return "not measured"
    value = 100 * share if not -1e-3 < share < 0 else 0.0
    if 0 < value < 0.05:
        return "< 0.1 %"
    return f"{value:.0f} %" if value >= 9.95 else f"{value:.1f}".removesuffix(".0") + " %"


def join_words(words: Sequence[str]) -> str:
    """Return words in a row, "and" before the last one."""
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def number_against(value: float, *limits: float, digits: int = 2) -> str:
    """Return a number with decimals enough to read how it compares with each of `limits`.

    So that no sentence says "none above 0.9" next to 0.90. The limits are numbers as they are
    written.
    """
    return _distinct(value, limits, lambda one, more: f"{one:.{digits + more}f}")


def percent_against(share: float, *limits: float) -> str:
    """Return a share in percent with decimals enough to read how it compares with `limits`."""
    texts = percent(share)
    if texts.startswith("<") or all(_order(share, limit) == 0 for limit in limits):
        return texts
    start = 0 if 100 * share >= 9.95 else 1
    written = _distinct(
        100 * share, [100 * limit for limit in limits], lambda one, more: f"{one:.{start + more}f}"
    )
    return f"{written.removesuffix('.0')} %"


def _distinct(
    value: float, limits: Sequence[float], write: Callable[[float, int], str]
) -> str:  # fmt: skip
    for more in range(_MORE_DIGITS):
        text = write(value, more)
        if all(_order(float(text), limit) == _order(value, limit) for limit in limits):
            break
    return text.replace("-", "−")


def _order(value: float, limit: float) -> int:
    return (value > limit) - (value < limit)


def probability(value: float) -> str:
    """Return a probability with two decimals, more near 0 and 1; empty where it is not known."""
    if not math.isfinite(value):
        return ""
    value = min(max(value, 0.0), 1.0)
    if value < 0.0005:
        return "< 0.001"
    if 0.995 <= value < 1:  # "1.00" would say that nothing else was possible
        return f"{value:.4f}" if value < 0.99995 else "> 0.9999"
    return f"{value:.2f}" if value >= 0.005 else f"{value:.3f}"


def equals_probability(value: float) -> str:
    """Return that p has a value, "p = 0.65"; "p < 0.001" where the value is a bound."""
    amount = probability(value)
    return f"p {amount}" if amount[:1] in ("<", ">") else f"p = {amount}"


def error_bound(error: float) -> str:
    """Return a positive error with one digit, rounded up, so that it is never understated."""
    unit = 10.0 ** math.floor(math.log10(error))
    return f"{math.ceil(error / unit * (1 - 1e-9)) * unit:.1g}"


def glue(text: str) -> str:
    """Return a text of ours with no-break spaces between numbers and what they count in."""
    return _NUMBER_AND_UNIT.sub("\u00a0", text)


def signed(value: float, digits: int = 2, limit: float | None = None) -> str:
    """Return a value with its sign and a real minus; without one where it is written as zero.

    limit: a size that the sentence compares it with; decimals are added until that can be read.
    """
    text = f"{abs(value):.{digits}f}"
    if limit is not None and float(text) != 0:
        text = number_against(abs(value), limit, digits=digits)
    if float(text) == 0:
        return text
    return f"{'−' if value < 0 else '+'}{text}"
