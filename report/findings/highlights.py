"""Which findings the first screen shows, and in which section the others stand."""

from __future__ import annotations

from collections.abc import Sequence

from attentropy.report.findings.finding import Observation

MOST, LEAST = 6, 3
_SECTIONS = {
    "rehearsal": "lens", "settled": "lens", "lens_layers": "lens",
    "range": "attention", "sinks": "attention", "reference_attention": "attention",
}  # fmt: skip
_FIRST = ("rehearsal", "settled")
_ALWAYS = ("attention", "heads")


def section_of(observation: Observation) -> str:
    """Return the section that a finding belongs to: "lens", "attention" or "heads"."""
    default = "lens" if observation.view == "lens" else "heads"
    return _SECTIONS.get(observation.id, default)


def strength(observation: Observation) -> float:
    """Return how far a finding's value is from its threshold, as a factor.

    It is 1 for a finding without a threshold, and 0 where nothing was found.
    """
    if not observation.is_found or observation.value is None:
        return 0.0
    if not observation.threshold:
        return 1.0
    ratio = observation.value / observation.threshold
    return 1 / ratio if 0 < ratio < 1 else ratio  # a departure may lie below its range


def highlights(observations: Sequence[Observation]) -> list[int]:
    """Return which of `observations` the first screen shows, at most `MOST`, in its order.

    Rehearsal and then the settling layer come first where they were measured, found or not.
    Attention and heads have one finding each where there is any. The others are positive findings,
    the strongest first; negative ones fill the list up to `LEAST`.
    """
    order = sorted(
        range(len(observations)), key=lambda i: (-strength(observations[i]), i)
    )  # fmt: skip
    first = [
        next(i for i in order if observations[i].id == id)
        for id in _FIRST
        if any(one.id == id and _is_measured(one) for one in observations)
    ]
    selection = set(first)
    for section in _ALWAYS:
        selection |= set([i for i in order if section_of(observations[i]) == section][:1])
    for i in order:
        if len(selection) < (MOST if observations[i].is_found else LEAST):
            selection.add(i)
    return first + [i for i in order if i in selection and i not in first]


def _is_measured(observation: Observation) -> bool:
    return observation.value is not None
