"""A finding as the page writes it: its sentence, its verdict and its numbers."""

from __future__ import annotations

from dataclasses import dataclass

from attentropy.report.findings.finding import Observation

# What follows a finding's value; shares and probabilities are plain numbers.
_UNITS = {
    "nats": " nats", "layers": " layers", "tokens": " tokens", "rank": " (counted from 0)",
}  # fmt: skip


@dataclass(frozen=True)
class FindingLine:
    """A finding as the page writes it; by `index` the script finds the place to show.

    `verdict` says that nothing was found, or that it was not measured; `is_shown`: whether the
    figure can show it.
    """

    index: int
    title: str
    text: str
    verdict: str
    statistic: str
    numbers: str
    is_shown: bool


def finding_line(index: int, observation: Observation) -> FindingLine:
    """Return a finding as the page writes it, the one at `index` of all findings."""
    verdict = "" if observation.is_found else "not measured"
    if not observation.is_found and observation.value is not None:
        # Where the lens settles too late, the sentence still says what it shows before.
        verdict = "" if observation.id == "settled" else "no finding"
    return FindingLine(
        index, observation.title, observation.text, verdict, observation.statistic,
        numbers(observation), observation.value is not None and observation.id != "translators",
    )  # fmt: skip


def numbers(observation: Observation) -> str:
    """Return statistic, value, threshold and n of a finding in words."""
    if observation.value is None:
        parts = [f"{observation.statistic}: not measured"]
    else:
        unit = _UNITS.get(observation.unit, "")
        value = f"{observation.value:.3g}".replace("-", "−")
        parts = [f"{observation.statistic} = {value}{unit}"]
    if observation.threshold is not None:
        parts.append(f"threshold {observation.threshold:.3g}")
    elif observation.value is not None:
        parts.append("no threshold")
    if observation.n is not None:
        parts.append(f"n = {observation.n:,}")
    return "; ".join(parts)
