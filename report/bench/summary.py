"""The summary of results: the table cells of each row, and the findings of a setting."""

from __future__ import annotations

from collections.abc import Iterable

from attentropy.engine.bench.case import VocabularyCase
from attentropy.engine.bench.results import Results, Row
from attentropy.report.units import count, format_bytes, percent

NOTE = (
    "Times are per run. Matmul peak: the rate of a product of two large square matrices, measured "
    "on this machine; a small case that stays in cache can exceed 100 %. Errors: the largest at "
    "sampled places, compared with float64 on the same inputs; (!) marks values outside the "
    "project's tolerance. Extra memory: peak memory beyond the inputs."
)
# Group of alternatives -> what a finding calls its fastest one.
_GROUP_WORDS = {
    "ceiling": "the fastest kernel without entropy",
    "twice": "the fastest fused kernel called twice",
    "once": "the fastest single call with keys as values",
    "sweep": "the fastest fused kernel plus a second sweep",
    "eager": "eager attention",
    "other": "the fastest alternative",
}


def rate_unit(results: Results) -> tuple[str, float]:
    """Return the unit of rates that suits this machine, and its operations per second."""
    if results.ceilings["flops_per_second"] < 2e12:
        return "GFLOP/s", 1e9
    return "TFLOP/s", 1e12


def columns(results: Results) -> tuple[str, ...]:
    """Return the names of the columns that `cells` fills."""
    return (
        "", "median ms", "20–80th percentile", "time vs ours", rate_unit(results)[0],
        "share of matmul peak", "extra memory", "max entropy error (nats)", "other errors",
    )  # fmt: skip


def cells(results: Results, row: Row, ours: Row | None) -> list[str]:
    """Return the texts of a timed row for `columns`; `ours` is the row to compare with."""
    low, middle, high = row.seconds
    rate, product = row.flops / middle, results.ceilings["flops_per_second"]
    return [
        row.rival,
        _digits(middle * 1e3),
        f"{_digits(low * 1e3)}–{_digits(high * 1e3)}",
        f"{middle / ours.seconds[1]:.2f}×" if ours else "–",
        f"{rate / rate_unit(results)[1]:.3g}",
        percent(rate / product),
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
        return ["attentropy was not timed here."]
    shape, time = results.cases[case], ours.seconds[1]
    unit, factor = rate_unit(results)
    rate, product = ours.flops / time, results.ceilings["flops_per_second"]
    error = (
        ""
        if "entropy" not in ours.errors
        else f", entropy error at most {_error(ours, 'entropy')} nats"
    )
    sentences = [
        f"{count(shape.size, shape.unit.removesuffix('s'))}: attentropy "
        f"({results.ours.removeprefix('ours, ')}) takes {_ms(time)} "
        f"({rate / factor:.3g} {unit}, {percent(rate / product)} of matmul peak){error}; "
        f"{format_bytes(ours.peak_bytes)} of extra memory."
    ]
    if off := next((row for row in rows if row.rival == "ours, all off"), None):
        sentences.append(
            f"With entropy it takes {time / off.seconds[1]:.2f}× the time of the same kernel "
            "without statistics."
        )
    for group, words in _GROUP_WORDS.items():
        if other := _fastest(rows, group):
            wrong = f", {' and '.join(other.wrong)} outside tolerance" if other.wrong else ""
            sentences.append(
                f"It takes {time / other.seconds[1]:.2f}× the time of {words} "
                f"({other.rival}, {_ms(other.seconds[1])}{wrong})."
            )
    if isinstance(shape, VocabularyCase):
        logits = 4 * shape.rows * shape.vocabulary
        sentences.append(
            f"Its extra memory is {percent(ours.peak_bytes / logits)} of the float32 logits."
        )
    sweeps = [
        f"{row.rival} takes {row.seconds[1] / time:.2f}×" for row in rows if row.group == "second"
    ]
    if sweeps:
        sentences.append(f"{' and '.join(sweeps)} the time of one pass with entropy.")
    return sentences


def _fastest(rows: Iterable[Row], group: str) -> Row | None:
    return min((r for r in rows if r.group == group), key=lambda r: r.seconds[1], default=None)


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"
