"""The transformers class of a model, by its configuration: what it is loaded as."""

from __future__ import annotations

from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoModelForMaskedLM,
    PreTrainedModel,
)
from transformers.models.auto import modeling_auto as names


def model_class(config: Any) -> Any:
    """Return the automatic class that loads the model of `config` with a head over its vocabulary.

    A model saved as a masked LM stays one, although its family may have a causal class too; one
    that reads images and text is loaded whole, and then reads text.
    """
    architectures = getattr(config, "architectures", None) or []
    kind = config.model_type
    masked = names.MODEL_FOR_MASKED_LM_MAPPING_NAMES
    if kind in masked and masked[kind] in architectures:
        return AutoModelForMaskedLM
    for mapping, loader in (
        (names.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, AutoModelForCausalLM),
        (names.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES, AutoModelForImageTextToText),
        (masked, AutoModelForMaskedLM),
    ):
        if kind in mapping:
            return loader
    return AutoModelForCausalLM  # its error names the kinds that there are


def empty_model(config: Any) -> PreTrainedModel:
    """Return the model of `config` without memory for its weights."""
    with torch.device("meta"):
        model: PreTrainedModel = model_class(config).from_config(config, trust_remote_code=False)
    return model
