"""Which findings the page tells at a glance, and in which section the others stand."""

from __future__ import annotations

from collections.abc import Sequence

from attentropy.report.findings.finding import Observation

MOST, LEAST = 6, 3
_SECTIONS = {
    "rehearsal": "lens", "settled": "lens", "lens_layers": "lens",
    "range": "attention", "sinks": "attention",
}  # fmt: skip
_ALWAYS = ("attention", "heads")


def section_of(observation: Observation) -> str:
    """The section that a finding belongs to: "lens", "attention" or "heads"."""
    known = "lens" if observation.view == "lens" else "heads"
    return _SECTIONS.get(observation.id, known)


def strength(observation: Observation) -> float:
    """How many times its threshold a found value is; 1 where it was held against none, 0 where
    nothing was found."""
    if not observation.found or observation.value is None:
        return 0.0
    if not observation.threshold:
        return 1.0
    return observation.value / observation.threshold


def highlights(observations: Sequence[Observation]) -> list[int]:
    """Which of `observations` the first screen tells, at most `MOST`, in its order.

    What was measured of rehearsal is first, found or not. Attention and heads have one each where
    there is any. The others are found ones, the strongest first; what was looked for and not found
    is told where fewer than `LEAST` were.
    """
    order = sorted(
        range(len(observations)), key=lambda i: (-strength(observations[i]), i)
    )  # fmt: skip
    first = [i for i in order if observations[i].id == "rehearsal" and _measured(observations[i])]
    kept = set(first)
    for section in _ALWAYS:
        kept |= set([i for i in order if section_of(observations[i]) == section][:1])
    for i in order:
        if len(kept) < (MOST if observations[i].found else LEAST):
            kept.add(i)
    return first + [i for i in order if i in kept and i not in first]


def _measured(observation: Observation) -> bool:
    return observation.value is not None
