"""The lens itself: from a layer's residual vectors to the statistics of the predicted tokens.

Final norm, unembedding, logit scale and softcap: all four belong to the lens (nostalgebraist 2020;
Belrose et al. 2023).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, cast

import torch
from torch import Tensor, nn

from attentropy.engine.model.devices import device_of
from attentropy.kernels.ops import VocabularyResult, vocabulary

# Rows that are normed and read at once: a float32 copy of all of them would be a second prompt.
_ROWS = 4096


@dataclass(frozen=True)
class Lens:
    """The path from a residual [N, d] to the vocabulary: norm, head, scale and softcap.

    `norm` is everything that lies between the last layer and the unembedding. translation: what
    leads from an earlier layer's residual to the unembedding in place of the norm (a translated
    lens); None for the plain lens.
    """

    norm: nn.Module
    weight: Tensor  # [V, d]
    bias: Tensor | None  # [V]
    scale: float
    softcap: float | None
    translation: Callable[[Tensor], Tensor] | None = None

    def read(
        self,
        residual: Tensor,
        *,
        top_k: int = 5,
        targets: Tensor | None = None,
        final: Tensor | None = None,
    ) -> VocabularyResult:
        """Return entropy, top-k and targets of the lens at each residual [N, d]; see `vocabulary`.

        final [N, d]: the last layer's residuals, whose distribution `kl` is measured from.
        """
        parts = []
        for first in range(0, max(1, len(residual)), _ROWS):
            rows = slice(first, first + _ROWS)
            parts.append(
                self._read_rows(
                    residual[rows],
                    None if targets is None else targets[rows],
                    None if final is None else final[rows],
                    top_k=top_k,
                )
            )
        return parts[0] if len(parts) == 1 else _concatenated(parts)

    @torch.no_grad()
    def _read_rows(
        self, residual: Tensor, targets: Tensor | None, final: Tensor | None, *, top_k: int
    ) -> VocabularyResult:
        device = self.weight.device
        return vocabulary(
            self.head_input(residual),
            self.weight.detach(),
            bias=None if self.bias is None else self.bias.detach(),
            scale=self.scale,
            softcap=self.softcap,
            top_k=top_k,
            targets=None if targets is None else targets.to(device),
            final=None if final is None else self.normed(final),
        )

    @torch.no_grad()
    def logits(self, residual: Tensor, ids: Tensor) -> Tensor:
        """Return the logits of the vocabulary's entries `ids` [T] at each residual, [N, T]."""
        hidden = self.head_input(residual)
        exact = torch.promote_types(hidden.dtype, torch.float32)
        ids = ids.to(self.weight.device)
        logits = hidden.to(exact) @ self.weight[ids].to(exact).T
        if self.bias is not None:
            logits = logits + self.bias[ids].to(exact)
        logits = logits * self.scale
        return logits if self.softcap is None else (logits / self.softcap).tanh() * self.softcap

    @torch.no_grad()
    def head_input(self, residual: Tensor) -> Tensor:
        """Return what the head reads at each residual [N, d], on the head's device."""
        if self.translation is None:
            return self.normed(residual)
        return self.translation(residual).to(self.weight.device, residual.dtype)

    @torch.no_grad()
    def normed(self, residual: Tensor) -> Tensor:
        """Return the normed residual on the head's device.

        The norm may be on another device than the layer before it, or the head after it.
        """
        device = self.weight.device
        return cast(Tensor, self.norm(residual.to(device_of(self.norm, device)))).to(device)


def _concatenated(parts: Sequence[VocabularyResult]) -> VocabularyResult:
    """Return the results of consecutive rows as one."""
    columns = {f.name: [getattr(part, f.name) for part in parts] for f in fields(parts[0])}
    values: dict[str, Any] = {
        name: None if column[0] is None else torch.cat(column) for name, column in columns.items()
    }
    return VocabularyResult(**values)
