"""Refuse models whose attention does not belong to one sequence of tokens, or is not all here."""

from __future__ import annotations

import sys
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from attentropy.engine.attention import hook
from attentropy.engine.errors import AttentropyError, LensRefused
from attentropy.engine.model.inner import text_model
from attentropy.engine.model.layers import decoder_layers


def check_free(model: PreTrainedModel) -> None:
    """Raise `AttentropyError` where the model is being recorded, as its configuration says."""
    if hook.NAME in (
        model.config._attn_implementation,
        text_model(model).config._attn_implementation,
    ):
        raise AttentropyError(
            "this model, or one that shares its configuration object, is already being recorded; "
            "use one record() at a time for it"
        )


def check_supported(model: PreTrainedModel) -> None:
    """Raise `AttentropyError` for a model that is known not to be recordable, without a pass."""
    name = type(model).__name__
    if model.main_input_name != "input_ids" and not _has_token_embeddings(model):
        raise AttentropyError(
            f"{name} reads {model.main_input_name}, not token ids; only models that read text can "
            "be recorded"
        )
    if getattr(model.config, "is_encoder_decoder", False) and _has_encoder(model):
        raise AttentropyError(
            f"{name} has an encoder and a decoder, whose attention belongs to two sequences; "
            "attentropy records models of one sequence: decoders, or encoders alone"
        )
    if _is_tensor_parallel(model):
        raise AttentropyError(
            f"{name} is split over several processes (tensor parallel), each with some of its "
            'heads; load it in one process, on several devices with device_map="auto"'
        )
    if (missing := _missing_layer(model)) is not None:
        raise AttentropyError(
            f"layer {missing} of {name} is not in this process (pipeline parallel); load all "
            'layers in one process, on several devices with device_map="auto"'
        )


def _has_token_embeddings(model: PreTrainedModel) -> bool:
    try:
        return isinstance(model.get_input_embeddings(), nn.Embedding)
    except (NotImplementedError, AttributeError):
        return False


def _has_encoder(model: PreTrainedModel) -> bool:
    """Return whether a model of an encoder-decoder family has both an encoder and a decoder."""
    names = [name.rpartition(".")[2] for name, _ in model.named_modules()]
    return "encoder" in names and "decoder" in names


def _is_tensor_parallel(model: PreTrainedModel) -> bool:
    if (getattr(model, "_tp_size", None) or 1) > 1:
        return True
    tensors: Any = sys.modules.get("torch.distributed.tensor")
    sharding: Any = sys.modules.get("torch.distributed.fsdp")
    if tensors is None:
        return False
    fully_sharded = getattr(sharding, "FSDPModule", ())  # gathers its weights before each pass
    if any(isinstance(module, fully_sharded) for module in model.modules()):
        return False
    return any(isinstance(parameter, tensors.DTensor) for parameter in model.parameters())


def _missing_layer(model: PreTrainedModel) -> int | None:
    """Return the first decoder layer that another process holds, None where all are here."""
    try:
        layers = decoder_layers(model)
    except LensRefused:
        return None
    for number, layer in enumerate(layers):
        if layer is None or isinstance(layer, nn.Identity):
            return number
        parameters = list(layer.parameters())
        is_kept = any(hasattr(module, "_hf_hook") for module in layer.modules())
        if parameters and not is_kept and all(p.device.type == "meta" for p in parameters):
            return number
    return None
