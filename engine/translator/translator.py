"""Translators, one affine map per layer, and the lenses that read a residual through them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from attentropy.engine.errors import UsageError
from attentropy.engine.lens.lens import Lens
from attentropy.engine.model.weights import weights_sha256
from attentropy.engine.trace.text import count

# How a kind of translator reads a residual h with its W and b:
#   translator   W h / rms(h) + b is the head's input; no norm follows
#   residual     h + W h + b, then norm and head (tuned lens, arXiv 2303.08112)
#   jacobian     W h, then norm and head
KINDS = ("translator", "residual", "jacobian")

_TINY = 1e-12  # added to the mean square: a residual of zeros stays finite
_ROWS = 4096  # of the head, hashed at once
_SMALLEST = 2.0**-13  # what float16 would round is left out of the head's hash


class AffineMap(NamedTuple):
    """The weight [d, d] and the bias [d] of one layer's map; None for no bias."""

    weight: Tensor
    bias: Tensor | None

    def cpu(self) -> AffineMap:
        """Return the map on the CPU."""
        return AffineMap(self.weight.cpu(), None if self.bias is None else self.bias.cpu())


@dataclass(frozen=True, eq=False)
class Translator:
    """The maps of a model's layers, by layer number, and what is known of their fit.

    name: what messages and traces call it. layers and width: of the model. The last layer has no
    map, since the head reads it as it is. facts: the file's metadata, texts by name. sha256: of the
    file.
    """

    name: str
    kind: str
    layers: int
    width: int
    maps: Mapping[int, AffineMap]
    facts: Mapping[str, str]
    sha256: str

    def lenses(self, lens: Lens, layers: int) -> dict[int, Lens]:
        """Return the lens of each layer: the translated ones, and `lens` itself for the last.

        Raises `UsageError` where `lens` is that of another model, or the model has not so many
        `layers`.
        """
        self._check_layers(layers)
        self._check_head(lens)
        lenses = {layer: translated(lens, self.kind, own) for layer, own in self.maps.items()}
        return lenses | {self.layers - 1: lens}

    def _check_layers(self, layers: int) -> None:
        if layers != self.layers:
            raise UsageError(
                f"`lens_translator`: {self.name!r} is for a model of "
                f"{count(self.layers, 'layer')}, but this one has {layers:,}"
            )

    def _check_head(self, lens: Lens) -> None:
        width = lens.weight.shape[1]
        if width != self.width:
            raise UsageError(
                f"`lens_translator`: {self.name!r} is for residuals of width {self.width:,}, but "
                f"this model's have {width:,}"
            )
        expected = self.facts.get("head_sha256")
        if expected is not None and expected != head_sha256(lens):
            raise UsageError(
                f"`lens_translator`: {self.name!r} is for another output head than this model's; "
                "fit one to this model (attentropy lens fit)"
            )

    def notes(self, model: Any) -> list[str]:
        """Return what a reader of a trace has to know of the translator and its `model`."""
        if "head_sha256" not in self.facts:
            return [
                f"the translator {self.name!r} does not say for which output head it is; only its "
                "width and its number of layers were compared with the model's"
            ]
        dtype, weights = self.facts.get("dtype"), self.facts.get("model_sha256")
        is_comparable = weights is not None and dtype == str(model.dtype).removeprefix("torch.")
        if is_comparable and weights != weights_sha256(model):
            return [f"the translator {self.name!r} was fitted to other weights with the same head"]
        return []

    def facts_for_trace(self) -> dict[str, Any]:
        """Return what a trace says of the translator that it was read with."""
        tokens = self.facts.get("tokens", "")
        return {
            "file": self.name, "sha256": self.sha256, "kind": self.kind,
            **({"tokens": int(tokens)} if tokens.isdecimal() else {}),
        }  # fmt: skip


def translated(lens: Lens, kind: str, own: AffineMap) -> Lens:
    """Return the lens that reads one layer's residual through a map of `kind`."""

    def affine(x: Tensor) -> Tensor:
        y = x @ own.weight.to(x.device, x.dtype).T
        return y if own.bias is None else y + own.bias.to(x.device, x.dtype)

    def translate(residual: Tensor) -> Tensor:
        exact = residual.to(torch.promote_types(residual.dtype, torch.float32))
        if kind == "translator":
            return affine(over_rms(exact))
        moved = affine(exact) if kind == "jacobian" else exact + affine(exact)
        return lens.normed(moved.to(residual.dtype))

    return replace(lens, translation=translate)


def over_rms(residual: Tensor) -> Tensor:
    """Return each residual [N, d] over its root mean square."""
    return residual * torch.rsqrt(residual.square().mean(-1, keepdim=True) + _TINY)


def head_sha256(lens: Lens) -> str:
    """Return a hash of the unembedding matrix, which is the same in float32 and in bfloat16.

    Weights of bfloat16 have it in float16 too: what float16 would round is counted as zero.
    """
    digest = hashlib.sha256(str(tuple(lens.weight.shape)).encode())
    for first in range(0, len(lens.weight), _ROWS):
        rows = lens.weight[first : first + _ROWS].detach().to(torch.bfloat16)
        rows = rows.masked_fill(rows.abs() < _SMALLEST, 0.0).cpu().contiguous()
        digest.update(rows.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
