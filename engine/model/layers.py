"""A model's decoder layers: their number, their kinds, and which layer a module belongs to."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn
from transformers import PreTrainedModel

from attentropy.engine.errors import AttentropyError, LensRefused


def decoder_layers(model: PreTrainedModel) -> Sequence[nn.Module]:
    """Return the model's decoder layers in order, [layers].

    Raises `LensRefused` where no list of modules has as many entries as the configuration says.
    """
    number = layer_count(model)
    if not number:
        raise LensRefused(f"{type(model).__name__} does not say how many decoder layers it has")
    decoder = model.get_decoder() if hasattr(model, "get_decoder") else model
    for root in (decoder, model):
        for module in root.modules() if root is not None else ():
            if isinstance(module, nn.ModuleList) and len(module) == number:
                return list(module)
    raise LensRefused(f"{type(model).__name__} has no list of its {number} decoder layers")


def layer_count(model: PreTrainedModel) -> int:
    """Return the number of layers that the configuration gives; 0 where it gives none.

    A decoder of an encoder-decoder family (BART, Whisper) shares the configuration of both, whose
    `num_hidden_layers` is the encoder's.
    """
    config = model.config.get_text_config()
    own = getattr(config, "decoder_layers", None)
    if isinstance(own, int) and any(
        name.rpartition(".")[2] == "decoder" for name, _ in model.named_modules()
    ):
        return own
    return int(getattr(config, "num_hidden_layers", None) or 0)


def layer_kinds(model: PreTrainedModel) -> list[str]:
    """Return the configuration's name for each layer (`layer_types`); empty where it has none."""
    kinds = getattr(model.config.get_text_config(), "layer_types", None)
    return [str(kind) for kind in kinds] if isinstance(kinds, (list, tuple)) else []


def layer_of(model: PreTrainedModel, module: nn.Module) -> int:
    """Return the layer of an attention module: its `layer_idx`, or the decoder layer around it.

    Raises `AttentropyError` where it has neither, or several layers share it.
    """
    own = getattr(module, "layer_idx", None)
    if own is not None and int(own) >= 0:  # Zamba 2 gives −1 to all
        return int(own)
    try:
        layers = decoder_layers(model)
    except AttentropyError:
        layers = []
    inside = [i for i, layer in enumerate(layers) if any(m is module for m in layer.modules())]
    if len(inside) != 1:
        raise AttentropyError(
            f"{type(module).__name__} does not say which layer of {type(model).__name__} it is; "
            "models whose layers share one attention module are not supported"
        )
    return inside[0]
