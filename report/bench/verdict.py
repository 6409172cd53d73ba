"""The headline of a benchmark: how much time statistics take, compared with the best rival."""

from __future__ import annotations

from collections.abc import Sequence

from attentropy.engine.bench.case import VocabularyCase
from attentropy.engine.bench.results import Results, Row
from attentropy.report.bench.series import baseline
from attentropy.report.text import for_sentence

_MOST_RUNS = 2  # results whose verdicts the headline holds


def verdict(runs: Sequence[Results]) -> str:
    """Return the results in a sentence: ratios of median times at the largest sizes."""
    return "; ".join(_of_run(results) for results in runs[:_MOST_RUNS])


def _of_run(results: Results) -> str:
    pairs = [
        pair for cases in results.settings().values() if (pair := _pair(results, cases)) is not None
    ]
    device = for_sentence(results.machine.get("device", ""), 60)
    suffix = f" ({device})" if device else ""
    is_vocabulary = any(isinstance(case, VocabularyCase) for case in results.cases)
    what = "Vocabulary statistics take" if is_vocabulary else "Attention with entropy takes"
    if not pairs:
        return f"{what.removesuffix(' takes').removesuffix(' take')}: not compared{suffix}"
    ratios = sorted(ours.seconds[1] / other.seconds[1] for ours, other in pairs)
    sizes = {results.cases[ours.case].size for ours, _ in pairs}
    low, high = f"{ratios[0]:.2f}", f"{ratios[-1]:.2f}"
    times = f"{low}×" if low == high else f"{low} to {high}×"
    at = (
        f" at {_size(max(sizes))} {results.cases[pairs[0][0].case].unit}" if len(sizes) == 1 else ""
    )
    return f"{what} {times} the time of {_rivals([other for _, other in pairs])}{at}{suffix}"


def _pair(results: Results, cases: Sequence[int]) -> tuple[Row, Row] | None:
    """Return ours and the row it is compared with at the largest size; None without both."""
    name = baseline(results, cases)
    for case in reversed(cases):
        timed = {row.rival: row for row in results.of(case) if row.seconds}
        ours = timed.get(results.ours)
        others = [row for row in timed.values() if row.group not in ("ours", "second")]
        if ours is None or not others:
            continue
        if name != results.ours:
            if name in timed:
                return ours, timed[name]
            continue
        return ours, min(others, key=lambda row: row.seconds[1])
    return None


def _rivals(rows: Sequence[Row]) -> str:
    names = {row.rival for row in rows}
    groups = {row.group for row in rows}
    if len(names) == 1:
        name = for_sentence(next(iter(names)), 60)
        return (
            f"{name} without entropy" if groups == {"ceiling"} and name != "product alone" else name
        )
    return (
        "the fastest kernel without entropy" if groups == {"ceiling"} else "the fastest alternative"
    )


def _size(size: int) -> str:
    """Return a size as the charts write it: 128k for 131,072."""
    return f"{size // 1024}k" if size >= 1024 and size % 1024 == 0 else f"{size:,}"
