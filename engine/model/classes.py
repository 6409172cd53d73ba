"""The transformers class of a model, by its configuration: what it is loaded as."""

from __future__ import annotations

from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForMultimodalLM,
    PreTrainedModel,
)
from transformers.models.auto import modeling_auto as names

from attentropy.engine.errors import AttentropyError


def model_class(config: Any) -> Any:
    """Return the automatic class that loads the model of `config` with a head over its vocabulary.

    A model saved as a masked LM stays one, although its family may have a causal class too; one
    that reads images or sound, too, is loaded whole, and then reads text. Raises `AttentropyError`
    for a model of another kind.
    """
    architectures = getattr(config, "architectures", None) or []
    kind = config.model_type
    masked = names.MODEL_FOR_MASKED_LM_MAPPING_NAMES
    if kind in masked and masked[kind] in architectures:
        return AutoModelForMaskedLM
    for mapping, loader in (
        (names.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, AutoModelForCausalLM),
        (names.MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES, AutoModelForMultimodalLM),
        (masked, AutoModelForMaskedLM),
    ):
        if kind in mapping:
            return loader
    if getattr(config, "is_encoder_decoder", False):
        raise AttentropyError(
            f"models of the type {kind!r} have an encoder and a decoder, whose attention belongs "
            "to two sequences; attentropy records models of one sequence: decoders, or encoders "
            "alone"
        )
    raise AttentropyError(
        f"models of the type {kind!r} are not language models with a head that predicts tokens; if "
        "they read token ids, load one with transformers and record it with attentropy.record"
    )


def empty_model(config: Any) -> PreTrainedModel:
    """Return the model of `config` without memory for its weights."""
    with torch.device("meta"):
        model: PreTrainedModel = model_class(config).from_config(config, trust_remote_code=False)
    return model
