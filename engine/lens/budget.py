"""Choose before the run what the lens reads, layers and positions, and count what that costs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from attentropy.engine.arguments import Names, read_names

SITES = ("residual", "attention", "mlp")
# The residual stream again, read through a translator.
TRANSLATED = "translated"

# Positions in which the answer is looked for, and which the default always reads.
REHEARSED_POSITIONS = 1024
# By default, the lens computes no more than the model's own pass did, and keeps no more than this.
_STATE_BYTES = 2 * 2**30
# Up to so many positions are all read where one product per cell costs no more than that pass: gaps
# in a text of this length cost its reader more than the second product costs the run.
WHOLE_POSITIONS = 8192


def read_sites(lens: Names, default: Sequence[str] = ("residual",)) -> tuple[str, ...]:
    """Return the sites that the argument `lens` names, in the order of `SITES`; () for "none".

    Raises `UsageError` for an unknown one.
    """
    sites = read_names(lens, "lens", SITES, default)
    return tuple(site for site in SITES if site in sites)


@dataclass(frozen=True)
class LensCost:
    """The cost of one run's lens.

    flops: floating-point operations of the lens; forward_flops: those of the model's own pass over
    the prompt (2 × parameters × tokens). kept_bytes: the states kept until the lens has read them.
    """

    flops: float
    forward_flops: float
    kept_bytes: float


@dataclass(frozen=True)
class LensSize:
    """The sizes that the lens's cost depends on.

    width: of a hidden state. vocabulary: entries. layers, sites: how many are read. parameters: of
    the model. itemsize: bytes of one number.
    """

    width: int
    vocabulary: int
    layers: int
    sites: int
    parameters: int
    itemsize: int

    def cost(self, positions: int, tokens: int) -> LensCost:
        """Return the cost of the lens at `positions` of `tokens`, both counts."""
        product = 2.0 * self.width * self.vocabulary
        cells = self.layers * self.sites * positions
        return LensCost(
            # And the final layer's logits for the divergence of each cell.
            flops=self.products(positions, rehearsed=True) + product * cells,
            forward_flops=2.0 * self.parameters * tokens,
            kept_bytes=float(cells * self.width * self.itemsize),
        )

    def products(self, positions: int, *, rehearsed: bool = False) -> float:
        """Return the floating-point operations of the products of states and vocabulary.

        One per cell at `positions` and one for the target, and with `rehearsed` one more per cell
        where the answer is looked for. The last layer's own for the divergence do not count: on a
        CPU all layers share them.
        """
        cells = positions + min(positions, REHEARSED_POSITIONS) if rehearsed else positions
        cells *= self.layers * self.sites
        return 2.0 * self.width * self.vocabulary * (cells + positions)

    def budget(self, tokens: int) -> int:
        """Return how many positions the lens reads by default.

        All, as long as it computes no more than the model's own pass and keeps at most 2 GiB; in
        any case 1,024. Of up to 8,192 positions only the products of states and vocabulary count,
        one per cell: positions × layers × sites × width × vocabulary multiply-adds.
        """
        if tokens <= WHOLE_POSITIONS:
            cost = self.cost(tokens, tokens)
            products = 2.0 * self.width * self.vocabulary * self.layers * self.sites * tokens
            if products <= cost.forward_flops and cost.kept_bytes <= _STATE_BYTES:
                return tokens
        low, high = min(tokens, REHEARSED_POSITIONS), tokens
        while low < high:
            middle = (low + high + 1) // 2
            cost = self.cost(middle, tokens)
            if cost.flops <= cost.forward_flops and cost.kept_bytes <= _STATE_BYTES:
                low = middle
            else:
                high = middle - 1
        return low

    def of_answer(self, room: int) -> list[int]:
        """Return which of an answer's tokens, at most `room`, the lens reads by default.

        The first 1,024, and of the others as many as it can read without computing more than the
        model did for them: every second one, say. So the choice does not depend on the length that
        the answer will have.
        """
        one = self.cost(1, 1)
        rehearsed = 2.0 * self.width * self.vocabulary * self.layers * self.sites  # prompt's alone
        step = max(1, math.ceil((one.flops - rehearsed) / max(1.0, one.forward_flops)))
        first = min(room, REHEARSED_POSITIONS)
        return [*range(first), *range(first + step - 1, room, step)]


def latest_positions(roles: Sequence[str], count: int) -> list[int]:
    """Return up to `count` positions: first the template's, then the tail's, the latest of each.

    They are ascending.
    """
    by_priority = [*reversed(template_positions(roles)), *range(len(roles) - 1, -1, -1)]
    return sorted(list(dict.fromkeys(by_priority))[:count])


def template_positions(roles: Sequence[str]) -> list[int]:
    """Return the positions of the chat template's tokens."""
    return [i for i, role in enumerate(roles) if role in ("template", "bos", "eos")]


def sample_positions(roles: Sequence[str], count: int) -> list[int]:
    """Return `count` positions of a prompt that is too long to read all of, ascending.

    Half of them are the template and the tail, the others are spread evenly over the rest.
    """
    if count >= len(roles):
        return list(range(len(roles)))
    latest = latest_positions(roles, count // 2)
    rest = sorted(set(range(len(roles))) - set(latest))
    others = count - len(latest)
    return sorted(latest + [rest[(2 * i + 1) * len(rest) // (2 * others)] for i in range(others)])
