"""What the results say: each row's cells, and the findings of a setting in sentences."""

from __future__ import annotations

from collections.abc import Iterable

from attentropy.engine.bench.case import VocabularyCase
from attentropy.engine.bench.results import Results, Row
from attentropy.report.units import human

NOTE = (
    "Times are those of single runs. “Of product”: against the matrix product measured here. "
    "Errors are the largest on sampled places against float64 on the same inputs; (!) marks "
    "what is outside of the project's bounds. Extra memory is the peak beyond the inputs."
)
_WAYS = {
    "ceiling": "the fastest without entropy",
    "twice": "a fused kernel called twice",
    "once": "keys and values in one call",
    "sweep": "a fused kernel and a second sweep",
    "eager": "eager attention",
    "other": "the other ways",
}


def rate_unit(results: Results) -> tuple[str, float]:
    """The unit of rates that suits this machine, and what it holds a second."""
    if results.ceilings["flops_per_second"] < 2e12:
        return "GFLOP/s", 1e9
    return "TFLOP/s", 1e12


def columns(results: Results) -> tuple[str, ...]:
    """What `cells` gives."""
    return (
        "", "ms (50 %)", "20 … 80 %", "time / ours", rate_unit(results)[0], "of product",
        "extra memory", "|ΔH| nats", "other errors",
    )  # fmt: skip


def cells(results: Results, row: Row, ours: Row | None) -> list[str]:
    """A timed row in the words of `columns`."""
    low, middle, high = row.seconds
    rate, product = row.flops / middle, results.ceilings["flops_per_second"]
    return [
        row.rival,
        _digits(middle * 1e3),
        f"{_digits(low * 1e3)} … {_digits(high * 1e3)}",
        f"{middle / ours.seconds[1]:.2f}" if ours else "–",
        f"{rate / rate_unit(results)[1]:.3g}",
        f"{rate / product:.0%}",
        human(row.peak_bytes),
        _error(row, "entropy") if "entropy" in row.errors else "none",
        _others(row),
    ]


def _digits(value: float) -> str:
    """Three digits or more."""
    decimals = next((i for i, limit in enumerate((100, 10, 1)) if value >= limit), 3)
    return f"{value:,.{decimals}f}"


def _error(row: Row, name: str) -> str:
    value = row.errors[name]
    mark = " (!)" if name in row.wrong else ""
    return f"{'not finite' if value is None else f'{value:.1e}'}{mark}"


def _others(row: Row) -> str:
    """The output's error, those of what it has besides, and whatever is wrong."""
    named = [name for name in row.errors if name != "entropy"]
    shown = [name for name in named if name in row.wrong] or named[:1]
    return ", ".join(f"{name} {_error(row, name)}" for name in shown)


def reference(rows: Iterable[Row], ours: str) -> Row | None:
    """The row that the others are compared to, where it was timed."""
    return next((row for row in rows if row.rival == ours and row.seconds), None)


def untimed(rows: Iterable[Row]) -> dict[str, list[str]]:
    """Each reason with the rivals that it stopped."""
    found: dict[str, list[str]] = {}
    for row in rows:
        if not row.seconds and row.rival not in found.setdefault(row.reason, []):
            found[row.reason].append(row.rival)
    return found


def findings(results: Results, cases: list[int]) -> list[str]:
    """Sentences with their numbers, at the largest size at which ours was timed."""
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
    errors = "" if "entropy" not in ours.errors else f", entropy off by {_error(ours, 'entropy')}"
    found = [
        f"{shape.size:,} {shape.unit}: {results.ours} in {_ms(time)}, {rate / factor:.3g} {unit}, "
        f"{rate / product:.0%} of the matrix product{errors}; "
        f"{human(ours.peak_bytes)} beyond the inputs."
    ]
    if off := next((row for row in rows if row.rival == "ours, all off"), None):
        found.append(f"Entropy costs {time / off.seconds[1] - 1:+.1%} over everything off.")
    for group, words in _WAYS.items():
        if other := _fastest(rows, group):
            wrong = f", {' and '.join(other.wrong)} outside of the bounds" if other.wrong else ""
            found.append(
                f"{other.seconds[1] / time:.2f} × the speed of {words} "
                f"({other.rival}, {_ms(other.seconds[1])}{wrong})."
            )
    if isinstance(shape, VocabularyCase):
        logits = 4 * shape.rows * shape.vocabulary
        found.append(f"Its extra memory is {ours.peak_bytes / logits:.1%} of the float32 logits.")
    sweeps = [
        f"{row.rival} takes {row.seconds[1] / time:.2f} ×" for row in rows if row.group == "second"
    ]
    if sweeps:
        found.append(f"{' and '.join(sweeps)} of the time of one pass with entropy.")
    return found


def _fastest(rows: Iterable[Row], group: str) -> Row | None:
    return min((r for r in rows if r.group == group), key=lambda r: r.seconds[1], default=None)


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"
