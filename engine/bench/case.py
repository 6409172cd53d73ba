"""One benchmark case: shapes, its random inputs, its work, and the entropies that are right."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Case:
    """Self-attention of one sequence of `length` tokens; `dtype` as torch names it."""

    length: int
    heads: int
    key_heads: int
    head_size: int
    causal: bool
    dtype: str
    device: str

    @property
    def flops(self) -> float:
        """Floating-point operations of the two products that any attention needs."""
        full = 4.0 * self.heads * self.head_size * self.length**2
        return full / 2 if self.causal else full

    def inputs(self) -> tuple[Tensor, Tensor, Tensor]:
        """q [1, Hq, N, D], k and v [1, Hkv, N, D]: normal, seeded, the same in every process."""
        random = torch.Generator(self.device).manual_seed(0)
        dtype = getattr(torch, self.dtype)

        def draw(heads: int) -> Tensor:
            shape = (1, heads, self.length, self.head_size)
            return torch.randn(shape, generator=random, device=self.device).to(dtype)

        return draw(self.heads), draw(self.key_heads), draw(self.key_heads)

    def rows(self) -> list[tuple[int, int]]:
        """(head, query) of the rows whose entropy is checked: spread, the ends among them."""
        count = min(self.length, 24)
        at = torch.linspace(0, self.length - 1, count).long().tolist()
        return [(i * 7 % self.heads, position) for i, position in enumerate(at)]

    def true_entropies(self, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        """(entropy, allowed error) of `rows`, float64 on the same inputs: the project's bound."""
        found, bounds = [], []
        for head, row in self.rows():
            keys = k[0, head // (self.heads // self.key_heads)].double()
            if self.causal:
                keys = keys[: row + 1]
            query = q[0, head, row].double()
            s = keys @ query * self.head_size**-0.5
            log_p = s.log_softmax(-1)
            found.append(-(log_p.exp() * log_p).sum())
            weight = (keys.abs() @ query.abs()).max() * self.head_size**-0.5
            bounds.append(2e-5 + 2**-20 * weight)
        return torch.stack(found).cpu(), torch.stack(bounds).cpu()
