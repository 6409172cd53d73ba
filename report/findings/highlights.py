"""Which findings the first screen shows, and in which section the others stand."""

from __future__ import annotations

from collections.abc import Sequence

from attentropy.report.findings.finding import Observation

MOST = 8
# By how much a finding explains the answer: the order of the first screen.
_ORDER = (
    "answer", "tested", "looked", "sure", "settled", "rehearsal", "predictions", "lens_change",
    "reference_lens", "reference_attention", "context", "sinks", "heads", "lens_layers", "range",
    "translators",
)  # fmt: skip
_SECTIONS = {
    "rehearsal": "lens", "settled": "lens", "lens_layers": "lens", "sure": "lens",
    "tested": "sources", "looked": "attention", "range": "attention", "sinks": "attention",
    "reference_attention": "attention", "context": "context",
}  # fmt: skip


def section_of(observation: Observation) -> str:
    """Return the section that a finding belongs to: "sources", "lens", "attention", …"""
    default = "lens" if observation.view == "lens" else "heads"
    return _SECTIONS.get(observation.id, default)


def says_something(observation: Observation) -> bool:
    """Return whether a finding is worth a card: it was found, or says where the lens stands.

    Where the lens settles too late, the sentence still says what its layers show before.
    """
    is_measured = observation.value is not None
    return observation.is_found or (observation.id == "settled" and is_measured)


def highlights(observations: Sequence[Observation]) -> list[int]:
    """Return which of `observations` have a card on the first screen, at most `MOST`, in its order.

    Those that explain the answer come first: where its row looked, how sure it is, when it settled,
    what was rehearsed. What was not found has no card.
    """
    shown = [i for i, one in enumerate(observations) if says_something(one)]
    return sorted(shown, key=lambda i: (_rank(observations[i]), i))[:MOST]


def absent(observations: Sequence[Observation]) -> list[int]:
    """Return which of `observations` were looked for and not found, or not measured."""
    return [i for i, one in enumerate(observations) if not says_something(one)]


def _rank(observation: Observation) -> int:
    return _ORDER.index(observation.id) if observation.id in _ORDER else len(_ORDER)
