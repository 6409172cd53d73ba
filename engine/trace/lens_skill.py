"""How far the logit lens can be read at each layer, from what a trace holds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from attentropy.engine.trace.derived import once_per_trace
from attentropy.engine.trace.readable import Readable
from attentropy.engine.trace.types import Array

FEW_POSITIONS = 16  # fewer make skill and agreement unsure
READABLE = 0.5  # the skill from which on a layer's lens is readable

_RESIDUAL = "residual"
_LEAST_ROOM = 1e-4  # nats per position, which rounding alone gives


@dataclass(frozen=True)
class LensSkill:
    """Skill and agreement of the lens per layer [layer], NaN where the lens did not read one.

    skill: 1 is the model's own output, 0 no better than a uniform guess. agreement: the share of
    positions whose top token is the last layer's. positions: over how many both are means.
    """

    skill: Array
    agreement: Array
    positions: int

    @property
    def is_few(self) -> bool:
        """Whether the number of positions is small."""
        return self.positions < FEW_POSITIONS

    @property
    def is_readable(self) -> Array:
        """Which layers' lens is readable, [layer] bool: those of a skill of 0.5 or more."""
        return np.nan_to_num(self.skill, nan=-np.inf) >= READABLE


class LensTrace(Readable, Protocol):
    """A trace, as far as the skill of its lens needs it."""

    @property
    def prompt_tokens(self) -> int:
        """The number of positions of the prompt."""

    @property
    def sites(self) -> list[str]:
        """Where the lens read each layer."""

    def lens(self, name: str, positions: slice = slice(None), site: str | None = None) -> Array:
        """Return a lens variable at one site."""

    def dummy_positions(self) -> Array:
        """Return the positions of the template tokens after the last content token."""


class Judged:
    """The method of a trace that says how far its lens can be read."""

    def lens_skill(self: LensTrace, site: str = _RESIDUAL) -> LensSkill | None:
        """Return how far the logit lens can be read at each layer; None where it is not measured.

        Args:
            site: The lens that is judged, one of `sites`.

        Returns:
            `skill` [layer]: 1 is the model's own output, 0 is no better than a uniform guess, and
            a constant guess of frequent tokens scores some 0.4. `agreement` [layer]: the share of
            positions whose top token is the last layer's. `positions`: over how many both go.

        Examples:
            >>> from attentropy import extract
            >>> lens = extract().lens_skill()
            >>> lens.skill.round(1).tolist(), lens.positions
            ([0.8, 0.8, 0.8, 0.9, 0.9, 0.9, 1.0, 1.0], 11)
        """
        return lens_skill(self, site)


def lens_skill(trace: LensTrace, site: str = _RESIDUAL) -> LensSkill | None:
    """Return `lens_skill` and `lens_agreement` of the project's definitions.

    Over the positions of the prompt that the lens read, without the first one and the template
    tokens after the question. site: the lens that is judged, one of `trace.sites`. None where the
    trace does not have what both need: the residual stream after the model's last layer, `lens_kl`,
    the top tokens, and the vocabulary's size.
    """
    return _measure(trace, site)


@once_per_trace
def _measure(trace: LensTrace, site: str) -> LensSkill | None:
    needed = ("lens_entropy", "lens_kl", "lens_top_ids")
    facts = trace.attrs.get("model", {})
    size, layers = facts.get("vocabulary"), facts.get("layers")
    if any(name not in trace for name in needed) or not {site, _RESIDUAL} <= set(trace.sites):
        return None
    if not isinstance(size, int) or size < 2:
        return None
    numbers = trace["layer"]
    if isinstance(layers, int) and (not numbers.size or int(numbers[-1]) != layers - 1):
        return None
    prompt = slice(trace.prompt_tokens)
    entropy = trace.lens("lens_entropy", prompt, _RESIDUAL)[-1].astype(np.float64)
    final = trace.lens("lens_top_ids", prompt, _RESIDUAL)[-1]
    kl, top = (trace.lens(name, prompt, site) for name in needed[1:])
    is_read = np.isfinite(entropy) & np.isfinite(kl).any(0)
    is_read[:1] = False
    is_read[trace.dummy_positions()] = False
    n = int(is_read.sum())
    if not n or not top.shape[-1]:
        return None
    room = (math.log(size) - entropy[is_read]).sum()
    own = kl[:, is_read].astype(np.float64)
    agrees = top[:, is_read, 0] == final[is_read, 0]
    is_measured = np.isfinite(own).all(1)
    # An output that is uniform everywhere leaves nothing to predict.
    has_room = room > _LEAST_ROOM * n
    skill = np.where(is_measured & has_room, 1 - own.sum(1) / (room if has_room else 1.0), np.nan)
    agreement = np.where(is_measured, agrees.mean(1), np.nan)
    for values in (skill, agreement):
        values.flags.writeable = False
    return LensSkill(skill, agreement, n)
