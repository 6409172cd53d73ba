"""The summary of results: the table cells of each row, and the findings of a setting."""

from __future__ import annotations

from collections.abc import Iterable

from attentropy.engine.bench.case import VocabularyCase
from attentropy.engine.bench.results import Results, Row
from attentropy.report.units import format_bytes

NOTE = (
    "Times are those of single runs. “Of product”: against the matrix product measured here. "
    "Errors are the largest on sampled places against float64 on the same inputs; (!) marks "
    "what is outside of the project's bounds. Extra memory is the peak beyond the inputs."
)
# Group of rivals -> how a finding calls it.
_GROUP_WORDS = {
    "ceiling": "the fastest without entropy",
    "twice": "a fused kernel called twice",
    "once": "keys and values in one call",
    "sweep": "a fused kernel and a second sweep",
    "eager": "eager attention",
    "other": "the other ways",
}


def rate_unit(results: Results) -> tuple[str, float]:
    """Return the unit of rates that suits this machine, and its operations per second."""
    if results.ceilings["flops_per_second"] < 2e12:
        return "GFLOP/s", 1e9
    return "TFLOP/s", 1e12


def columns(results: Results) -> tuple[str, ...]:
    """Return the names of the columns that `cells` fills."""
    return (
        "", "ms (50 %)", "20 … 80 %", "time / ours", rate_unit(results)[0], "of product",
        "extra memory", "|ΔH| nats", "other errors",
    )  # fmt: skip


def cells(results: Results, row: Row, ours: Row | None) -> list[str]:
    """Return the texts of a timed row for `columns`; `ours` is the row to compare with."""
    low, middle, high = row.seconds
    rate, product = row.flops / middle, results.ceilings["flops_per_second"]
    return [
        row.rival,
        _digits(middle * 1e3),
        f"{_digits(low * 1e3)} … {_digits(high * 1e3)}",
        f"{middle / ours.seconds[1]:.2f}" if ours else "–",
        f"{rate / rate_unit(results)[1]:.3g}",
        f"{rate / product:.0%}",
        format_bytes(row.peak_bytes),
        _error(row, "entropy") if "entropy" in row.errors else "none",
        _other_errors(row),
    ]


def _digits(value: float) -> str:
    """Return `value` with three digits or more."""
    decimals = next((i for i, limit in enumerate((100, 10, 1)) if value >= limit), 3)
    return f"{value:,.{decimals}f}"


def _error(row: Row, name: str) -> str:
    value = row.errors[name]
    mark = " (!)" if name in row.wrong else ""
    return f"{'not finite' if value is None else f'{value:.1e}'}{mark}"


def _other_errors(row: Row) -> str:
    """Return the errors besides entropy's that are out of bounds, or the first one if none is."""
    names = [name for name in row.errors if name != "entropy"]
    names = [name for name in names if name in row.wrong] or names[:1]
    return ", ".join(f"{name} {_error(row, name)}" for name in names)


def reference(rows: Iterable[Row], ours: str) -> Row | None:
    """Return the row that the others are compared with; None if it was not timed."""
    return next((row for row in rows if row.rival == ours and row.seconds), None)


def untimed(rows: Iterable[Row]) -> dict[str, list[str]]:
    """Return for each reason the rivals that were not timed because of it."""
    rivals: dict[str, list[str]] = {}
    for row in rows:
        if not row.seconds and row.rival not in rivals.setdefault(row.reason, []):
            rivals[row.reason].append(row.rival)
    return rivals


def findings(results: Results, cases: list[int]) -> list[str]:
    """Return the findings as sentences, at the largest size at which ours was timed."""
    for case in reversed(cases):
        rows = [row for row in results.of(case) if row.seconds]
        ours = reference(rows, results.ours)
        if ours is not None:
            break
    else:
        return ["Ours was not timed."]
    shape, time = results.cases[case], ours.seconds[1]
    unit, factor = rate_unit(results)
    rate, product = ours.flops / time, results.ceilings["flops_per_second"]
    error = "" if "entropy" not in ours.errors else f", entropy off by {_error(ours, 'entropy')}"
    sentences = [
        f"{shape.size:,} {shape.unit}: {results.ours} in {_ms(time)}, {rate / factor:.3g} {unit}, "
        f"{rate / product:.0%} of the matrix product{error}; "
        f"{format_bytes(ours.peak_bytes)} beyond the inputs."
    ]
    if off := next((row for row in rows if row.rival == "ours, all off"), None):
        sentences.append(f"Entropy costs {time / off.seconds[1] - 1:+.1%} over everything off.")
    for group, words in _GROUP_WORDS.items():
        if other := _fastest(rows, group):
            wrong = f", {' and '.join(other.wrong)} outside of the bounds" if other.wrong else ""
            sentences.append(
                f"{other.seconds[1] / time:.2f} × the speed of {words} "
                f"({other.rival}, {_ms(other.seconds[1])}{wrong})."
            )
    if isinstance(shape, VocabularyCase):
        logits = 4 * shape.rows * shape.vocabulary
        sentences.append(
            f"Its extra memory is {ours.peak_bytes / logits:.1%} of the float32 logits."
        )
    sweeps = [
        f"{row.rival} takes {row.seconds[1] / time:.2f} ×" for row in rows if row.group == "second"
    ]
    if sweeps:
        sentences.append(f"{' and '.join(sweeps)} of the time of one pass with entropy.")
    return sentences


def _fastest(rows: Iterable[Row], group: str) -> Row | None:
    return min((r for r in rows if r.group == group), key=lambda r: r.seconds[1], default=None)


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"
