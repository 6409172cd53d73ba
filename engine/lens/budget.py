"""What the lens is to read, and what that costs: layers and positions, chosen before the run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from attentropy.engine.errors import UsageError

SITES = ("residual", "attention", "mlp")


# Positions in which the answer is looked for, and which the default always reads.
REHEARSED_POSITIONS = 1024
# Unasked, the lens computes no more than the model's own pass did, and keeps no more than this.
_KEPT_BYTES = 2 * 2**30


def check_sites(sites: Sequence[str]) -> tuple[str, ...]:
    """The sites in the order of `SITES`. Raises `UsageError` for one that there is not."""
    if unknown := sorted(set(sites) - set(SITES)):
        raise UsageError(f"unknown lens site {unknown[0]!r}; known: {', '.join(SITES)}")
    return tuple(site for site in SITES if site in sites)


@dataclass(frozen=True)
class LensCost:
    """Of one run's lens: floating-point operations, those of the model's own pass over the prompt
    (2 × parameters × tokens), and the bytes of the states kept until the lens has read them."""

    flops: float
    forward_flops: float
    kept_bytes: float


@dataclass(frozen=True)
class LensSize:
    """What the cost is made of; `width` is the hidden size, `itemsize` the bytes of one number."""

    width: int
    vocabulary: int
    layers: int
    sites: int
    parameters: int
    itemsize: int

    def cost(self, positions: int, tokens: int) -> LensCost:
        """For the lens at `positions` of `tokens`."""
        product = 2.0 * self.width * self.vocabulary
        cells = self.layers * self.sites * positions
        rehearsed = self.layers * self.sites * min(positions, REHEARSED_POSITIONS)
        return LensCost(
            # Each cell's logits, the final layer's beside them for the divergence, once more where
            # the answer is looked for; and the final layer's alone for the target.
            flops=product * (2 * cells + rehearsed + positions),
            forward_flops=2.0 * self.parameters * tokens,
            kept_bytes=float(cells * self.width * self.itemsize),
        )

    def budget(self, tokens: int) -> int:
        """How many positions the lens reads when nobody has said: all, while it computes no more
        than the model's own pass and keeps at most 2 GiB; in any case 1,024."""
        low, high = min(tokens, REHEARSED_POSITIONS), tokens
        while low < high:
            middle = (low + high + 1) // 2
            cost = self.cost(middle, tokens)
            if cost.flops <= cost.forward_flops and cost.kept_bytes <= _KEPT_BYTES:
                low = middle
            else:
                high = middle - 1
        return low


def tail_first(roles: Sequence[str], count: int) -> list[int]:
    """The template's positions and then the tail's, latest first, up to `count`; ascending."""
    chosen = [*reversed(template_positions(roles)), *range(len(roles) - 1, -1, -1)]
    return sorted(list(dict.fromkeys(chosen))[:count])


def template_positions(roles: Sequence[str]) -> list[int]:
    """Where the chat template put the tokens."""
    return [i for i, role in enumerate(roles) if role in ("template", "bos", "eos")]


def sample(roles: Sequence[str], count: int) -> list[int]:
    """`count` positions for a prompt too long to read whole: half of them the template and the
    tail, the others spread evenly over the rest; ascending."""
    if count >= len(roles):
        return list(range(len(roles)))
    chosen = tail_first(roles, count // 2)
    rest = sorted(set(range(len(roles))) - set(chosen))
    others = count - len(chosen)
    return sorted(chosen + [rest[(2 * i + 1) * len(rest) // (2 * others)] for i in range(others)])
