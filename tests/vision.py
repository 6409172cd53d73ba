"""Tiny random models that read images and text, and inputs with one image."""

from __future__ import annotations

from typing import Any

import torch
from transformers import (
    CLIPVisionConfig,
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
)

IMAGE = 150
TEXT: dict[str, Any] = {
    "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 200, "initializer_range": 0.15,
    "max_position_embeddings": 256, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
}  # fmt: skip
TOWER: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
    "image_size": 16, "patch_size": 4,
}  # fmt: skip


def llava() -> tuple[Any, dict[str, Any]]:
    """Return a model of the LLaVA family and its inputs: 16 tokens of an image among text."""
    torch.manual_seed(0)
    config = LlavaConfig(
        text_config=LlamaConfig(**TEXT),
        vision_config=CLIPVisionConfig(**TOWER, projection_dim=32),
        image_token_index=IMAGE, vision_feature_layer=-2, vision_feature_select_strategy="default",
    )  # fmt: skip
    ids = torch.tensor([[5, 6, 7, *[IMAGE] * 16, 8, 9]])
    inputs = {"input_ids": ids, "pixel_values": torch.randn(1, 3, 16, 16)}
    model = LlavaForConditionalGeneration(config).eval()
    return model, inputs | {"attention_mask": torch.ones_like(ids)}


def qwen2_vl() -> tuple[Any, dict[str, Any]]:
    """Return a model of the Qwen2-VL family (positions in three dimensions) and its inputs."""
    torch.manual_seed(0)
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]}
    config = Qwen2VLConfig(
        text_config={**TEXT, "rope_parameters": rope},
        vision_config={
            "depth": 2, "embed_dim": 32, "hidden_size": 64, "num_heads": 2, "patch_size": 4,
            "mlp_ratio": 2, "spatial_merge_size": 2,
        },
        image_token_id=IMAGE, video_token_id=151, vision_start_token_id=152,
        vision_end_token_id=153,
    )  # fmt: skip
    ids = torch.tensor([[5, 6, 7, 152, *[IMAGE] * 4, 153, 8, 9]])
    inputs = {
        "input_ids": ids, "attention_mask": torch.ones_like(ids),
        "pixel_values": torch.randn(16, 96), "image_grid_thw": torch.tensor([[1, 4, 4]]),
        "mm_token_type_ids": (ids == IMAGE).int(),
    }  # fmt: skip
    return Qwen2VLForConditionalGeneration(config).eval(), inputs


def gemma3(tokens: int = 4) -> tuple[Any, dict[str, Any]]:
    """Return a model of the Gemma 3 family, whose image tokens see each other, and its inputs.

    tokens: of the image.
    """
    torch.manual_seed(0)
    config = Gemma3Config(
        text_config={
            **TEXT, "head_dim": 16, "sliding_window": 7,
            "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
        },
        vision_config=TOWER, mm_tokens_per_image=tokens, image_token_index=IMAGE,
    )  # fmt: skip
    ids = torch.tensor([[5, 6, 7, *[IMAGE] * tokens, 8, 9]])
    inputs = {"pixel_values": torch.randn(1, 3, 16, 16)}
    return Gemma3ForConditionalGeneration(config).eval(), followed(inputs, ids)


def followed(inputs: dict[str, Any], ids: torch.Tensor) -> dict[str, Any]:
    """Return the inputs of Gemma 3 with other tokens, which have the same image."""
    kinds = {"attention_mask": torch.ones_like(ids), "token_type_ids": (ids == IMAGE).int()}
    return inputs | {"input_ids": ids} | kinds
