"""How far a lens is from the model's own output, at rows that no fit has seen."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from attentropy.engine.lens.lens import Lens
from attentropy.kernels.ops import VocabularyResult, vocabulary

_COLUMNS = 8192  # of the vocabulary, whose logits exist at once


@dataclass(frozen=True)
class Closeness:
    """The mean KL(P_final ‖ P) in nats, and the share of rows with the same top token."""

    kl: float
    agreement: float


class FinalOutput:
    """The model's own output P at some rows, whose head inputs `final` are [n, d].

    Where the head is linear, Σ_v P_v · logit_v of another head input z is z · Σ_v P_v w_v (plus the
    mean bias): a second product with the whole vocabulary is needed once, not for each z.
    """

    def __init__(self, lens: Lens, final: Tensor) -> None:
        self._lens, self._final = lens, final
        own = self._read(final, None)
        self._top = own.top_ids[:, 0]
        self._entropy = own.entropy.double()
        self._mean_row: Tensor | None = None
        if lens.softcap is None:
            self._mean_row, self._mean_bias = self._means(own.lse)

    def closeness(self, hidden: Tensor) -> Closeness:
        """Return how close the output of the head inputs `hidden` [n, d] is to P."""
        if self._mean_row is None:
            result = self._read(hidden, self._final)
            assert result.kl is not None
            kl = result.kl.double()
        else:
            result = self._read(hidden, None)
            mean_logit = torch.linalg.vecdot(hidden.float(), self._mean_row) + self._mean_bias
            kl = result.lse.double() - self._entropy - self._lens.scale * mean_logit.double()
        agreement = (result.top_ids[:, 0] == self._top).double().mean()
        return Closeness(max(0.0, float(kl.mean())), float(agreement))

    def _read(self, hidden: Tensor, final: Tensor | None) -> VocabularyResult:
        lens = self._lens
        return vocabulary(
            hidden, lens.weight.detach(), bias=None if lens.bias is None else lens.bias.detach(),
            scale=lens.scale, softcap=lens.softcap, top_k=1, final=final,
        )  # fmt: skip

    def _means(self, lse: Tensor) -> tuple[Tensor, Tensor]:
        """Return the rows of the unembedding, and the biases, averaged with P: [n, d] and [n]."""
        lens, final = self._lens, self._final.float()
        row, bias = torch.zeros_like(final), torch.zeros_like(lse)
        for first in range(0, len(lens.weight), _COLUMNS):
            weight = lens.weight[first : first + _COLUMNS].detach().float()
            logits = final @ weight.T
            if lens.bias is not None:
                logits += (own := lens.bias[first : first + _COLUMNS].detach().float())
            p = (logits * lens.scale - lse[:, None]).exp()
            row += p @ weight
            bias += 0 if lens.bias is None else p @ own
        return row, bias
