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

# Called with how many of the layers' rows are read so far, as a count of layers.
Progress = Callable[[int], None]


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
                self.head_statistics(
                    self.head_input(residual[rows]),
                    None if targets is None else targets[rows],
                    None if final is None else final[rows],
                    top_k=top_k,
                )
            )
        return _concatenated(parts)

    @torch.no_grad()
    def head_statistics(
        self, hidden: Tensor, targets: Tensor | None, final: Tensor | None, *, top_k: int
    ) -> VocabularyResult:
        """Return the statistics of what the head reads, `hidden` [N, d]; see `head_input`.

        final: residuals of the last layer [M, d], see `vocabulary`.
        """
        device = self.weight.device
        return vocabulary(
            hidden,
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


def read_layers(
    readers: Sequence[Lens],
    states: Sequence[Tensor],
    *,
    top_k: int = 5,
    targets: Tensor | None = None,
    final: Tensor | None = None,
    progress: Progress = lambda count: None,
) -> list[VocabularyResult]:
    """Return what `Lens.read` returns for the states [N, d] of each layer, all with one head.

    readers: the lens of each state; they differ in nothing but what leads to the head. targets: ids
    [N] for all layers, or [layers, N]. final: as in `Lens.read`. On a CPU, the same rows of all
    layers go through the head together: one product for all of them costs less than one for each,
    and the last layer's logits are computed once for all layers, in blocks of rows.
    """
    ids = None if targets is None else targets.expand(len(states), -1)
    if not states or readers[0].weight.device.type != "cpu":
        results = []
        for layer, (reader, state) in enumerate(zip(readers, states, strict=True)):
            progress(layer)
            own = None if ids is None else ids[layer]
            results.append(reader.read(state, top_k=top_k, targets=own, final=final))
        return results
    count, parts = len(states[0]), []
    step = max(1, _ROWS // len(states))
    for first in range(0, max(1, count), step):
        progress(first * len(states) // max(1, count))
        rows = slice(first, first + step)
        result = readers[0].head_statistics(
            torch.cat([r.head_input(s[rows]) for r, s in zip(readers, states, strict=True)]),
            None if ids is None else ids[:, rows].flatten(),
            None if final is None else final[rows],
            top_k=top_k,
        )
        parts.append(_by_layer(result, len(states)))
    return [_concatenated(layer) for layer in zip(*parts, strict=True)]


def _by_layer(result: VocabularyResult, layers: int) -> list[VocabularyResult]:
    """Return the result of each layer, whose rows follow each other in `result`."""
    columns: dict[str, Any] = {
        name: values.unflatten(0, (layers, -1))
        for name, values in vars(result).items()
        if values is not None
    }
    return [
        VocabularyResult(**{name: values[layer] for name, values in columns.items()})
        for layer in range(layers)
    ]


def _concatenated(parts: Sequence[VocabularyResult]) -> VocabularyResult:
    """Return the results of consecutive rows as one."""
    if len(parts) == 1:
        return parts[0]
    columns = {f.name: [getattr(part, f.name) for part in parts] for f in fields(parts[0])}
    values: dict[str, Any] = {
        name: None if column[0] is None else torch.cat(column) for name, column in columns.items()
    }
    return VocabularyResult(**values)
