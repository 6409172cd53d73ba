"""Where a model's decoder layers are."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn
from transformers import PreTrainedModel

from attentropy.engine.errors import LensRefused


def decoder_layers(model: PreTrainedModel) -> Sequence[nn.Module]:
    """The model's decoder layers in order, [layers].

    Raises `LensRefused` where no list of modules has as many entries as the configuration says.
    """
    count = getattr(model.config.get_text_config(), "num_hidden_layers", None)
    if count is None:
        raise LensRefused(f"{type(model).__name__} does not say how many decoder layers it has")
    decoder = model.get_decoder() if hasattr(model, "get_decoder") else model
    for root in (decoder, model):
        for module in root.modules() if root is not None else ():
            if isinstance(module, nn.ModuleList) and len(module) == count:
                return list(module)
    raise LensRefused(f"no list of {count} decoder layers in {type(model).__name__}")
