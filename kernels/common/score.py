"""The score of a query and a key, in PyTorch: scale, then softcap, then ALiBi's slope."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Score:
    """What turns q · k into a score: scale, then softcap, then ALiBi's slopes [Hq]."""

    scale: float
    softcap: float | None = None
    slopes: Tensor | None = None

    @property
    def is_product(self) -> bool:
        """Whether a score is the scaled product and nothing else."""
        return self.softcap is None and self.slopes is None

    def compute(self, q: Tensor, k: Tensor, rows: tuple[int, int], cols: tuple[int, int]) -> Tensor:
        """Return the scores [B, Hkv, G, rows, cols] of q [B, Hkv, G, rows, D], k [B, Hkv, cols, D].

        `rows` and `cols` (start, stop) are the absolute positions that the slopes need.
        """
        batch, heads, group, length, dim = q.shape
        s = q.reshape(batch, heads, group * length, dim) @ k.transpose(-1, -2)
        s = s.view(batch, heads, group, length, k.shape[2]).mul_(self.scale)
        self.cap(s)
        if self.slopes is not None:
            i = torch.arange(*rows, device=s.device)[:, None]
            j = torch.arange(*cols, device=s.device)[None, :]
            slopes = self.slopes.to(s.dtype).view(heads, group)
            s -= slopes[None, :, :, None, None] * (i - j)
        return s

    def cap(self, s: Tensor) -> Tensor:
        """Apply the softcap in place."""
        if self.softcap is not None:
            s.div_(self.softcap).tanh_().mul_(self.softcap)
        return s


def repeat_heads(x: Tensor, heads: int) -> Tensor:
    """Return keys or values [B, Hkv, …] once per query head, [B, heads, …]."""
    return x.repeat_interleave(heads // x.shape[1], 1) if heads else x[:, :0]
