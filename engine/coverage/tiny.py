"""Build tiny random models of any class: every size that a configuration names is set small."""

from __future__ import annotations

import logging
from typing import Any

import torch
from transformers import PretrainedConfig, PreTrainedModel

VOCABULARY = 160
WINDOW = 7
CHUNK = 8
LAYERS = 2
GAIN = 1.0
PARAMETERS = 16_000_000

_log = logging.getLogger(__name__)

_COUNTS = (
    "num_hidden_layers", "n_layer", "n_layers", "num_layers", "decoder_layers", "encoder_layers",
)  # fmt: skip

# Sizes by the names that configurations use; what a configuration does not name is not set.
_SMALL: dict[str, Any] = dict.fromkeys(_COUNTS, LAYERS) | {
    "vocab_size": VOCABULARY,
    "hidden_size": 64, "n_embd": 64, "d_model": 64, "embed_dim": 64, "embedding_size": 64,
    "dim": 64, "emb_dim": 64, "word_embed_proj_dim": 64, "hidden_dim": 64,
    "intermediate_size": 64, "ffn_dim": 64, "decoder_ffn_dim": 64, "encoder_ffn_dim": 64,
    "n_inner": 64, "d_ff": 64, "d_inner": 64, "dff": 64, "ffn_hidden_size": 64,
    "num_attention_heads": 4, "n_head": 4, "n_heads": 4, "num_heads": 4,
    "decoder_attention_heads": 4, "encoder_attention_heads": 4,
    "num_key_value_heads": 2, "num_kv_heads": 2, "n_kv_heads": 2,
    "head_dim": 16, "attention_head_dim": 16, "d_kv": 16, "global_head_dim": 16,
    "max_position_embeddings": 128, "n_positions": 128, "n_ctx": 128, "max_seq_len": 128,
    "max_target_positions": 128, "max_length": 20, "seq_length": 128,
    "rotary_dim": 8,
    "sliding_window": WINDOW, "window_size": WINDOW, "attention_window": WINDOW,
    "attention_window_size": WINDOW,
    "use_sliding_window": True, "max_window_layers": 1, "attention_chunk_size": CHUNK,
    "q_lora_rank": 16, "kv_lora_rank": 16, "o_lora_rank": 16, "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8, "v_head_dim": 16, "qk_head_dim": 16, "query_pre_attn_scalar": 16,
    "index_n_heads": 2, "index_head_dim": 16, "index_topk": 64,
    "num_experts": 4, "num_local_experts": 4, "n_routed_experts": 4, "moe_num_experts": 4,
    "num_experts_per_tok": 2, "moe_topk": 2, "moe_k": 2, "num_experts_per_token": 2,
    "moe_intermediate_size": 32, "shared_expert_intermediate_size": 32,
    "expert_ffn_hidden_size": 32, "ffn_hidden_size_moe": 32,
    "moe_shared_expert_intermediate_size": 32,
    "shared_intermediate_size": 32, "intermediate_size_mlp": 64,
    "n_shared_experts": 1, "num_shared_experts": 1, "n_group": 1, "topk_group": 1,
    "first_k_dense_replace": 1,
    "state_size": 8, "ssm_state_size": 8, "mamba_d_state": 8, "mamba_d_ssm": 128,
    "mamba_n_heads": 8, "mamba_num_heads": 8, "mamba_d_head": 16, "mamba_head_dim": 16,
    "mamba_headdim": 16, "mamba_dt_rank": 4, "time_step_rank": 4, "mamba_n_groups": 1,
    "mamba_ngroups": 1, "n_groups": 1, "mamba_chunk_size": 16, "chunk_size": 16,
    "linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 16,
    "linear_value_head_dim": 16, "lru_width": 64, "conv_dim": 64,
    "hidden_size_per_layer_input": 8, "vocab_size_per_layer_input": VOCABULARY,
    "is_decoder": True, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip

_ASSISTANT = {
    "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": LAYERS, "head_dim": 8,
    "global_head_dim": 16, "num_attention_heads": 4, "num_key_value_heads": 2,
    "vocab_size": VOCABULARY, "hidden_size_per_layer_input": 0, "vocab_size_per_layer_input": 0,
    "num_kv_shared_layers": LAYERS, "layer_types": ["full_attention"] * LAYERS,
    "sliding_window": WINDOW,
}  # fmt: skip

# What a model type needs as well, where the sizes above do not fit together.
_BY_TYPE: dict[str, dict[str, Any]] = {
    "bamba": {"attn_layer_indices": [1, 3]},
    "blt": {
        "encoder_hash_byte_group_vocab": 64,
        "encoder_hash_byte_group_size": [3, 4],
        "max_position_embeddings": 128,
    },
    "blt_global_transformer": {"hidden_size": 128, "head_dim": 32},
    "blt_local_encoder": {"cross_attn_k": 2, "hidden_size_global": 128},
    "blt_local_decoder": {"cross_attn_k": 2, "hidden_size_global": 128},
    "cohere_compass_text": {
        "rope_parameters": {
            kind: {"rope_type": "default", "rope_theta": 1e4}
            for kind in ("full_attention", "sliding_attention")
        }
    },
    "cpmant": {"dim_head": 16, "dim_ff": 64},
    "csm_depth_decoder_model": {"num_codebooks": 64, "backbone_hidden_size": 64},
    "dots3_note_text": {
        "swa_num_attention_heads": 2,
        "swa_num_key_value_heads": 2,
        "swa_q_lora_rank": 16,
        "swa_kv_lora_rank": 16,
        "swa_head_dim": 16,
        "swa_qk_nope_head_dim": 8,
        "swa_v_head_dim": 16,
        "head_dim": 16,
    },
    "gemma4_text": {"head_dim": 8, "global_head_dim": 16},
    "gemma4_unified_text": {"head_dim": 8, "global_head_dim": 16},
    "dbrx": {
        "attn_config": {"kv_n_heads": 2, "rope_theta": 1e4, "clip_qkv": 8.0},
        "ffn_config": {
            "ffn_hidden_size": 32,
            "moe_num_experts": 4,
            "moe_top_k": 2,
            "hidden_size": 64,
        },
    },
    "gemma3n_text": {
        "num_hidden_layers": 4,
        "laurel_rank": 8,
        "num_kv_shared_layers": 2,
        "activation_sparsity_pattern": [0.0] * 4,
        "layer_types": ["sliding_attention", "full_attention"] * 2,
    },
    "gpt_neo": {"attention_types": [[["global", "local"], LAYERS // 2]]},
    "granitemoehybrid": {"layer_types": ["linear_attention", "full_attention"] * (LAYERS // 2)},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"] * (LAYERS // 2)},
    "longcat_flash": {"zero_expert_num": 2},
    "mamba2": {"expand": 2, "num_heads": 8, "head_dim": 16},
    "mistral4": {
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 1e4,
            "llama_4_scaling_beta": 0.1,
            "original_max_position_embeddings": 16,
        }
    },
    "musicgen_decoder": {"num_codebooks": 1},
    "musicgen_melody_decoder": {"num_codebooks": 1},
    "qwen4_exp_text": {
        "indexer_n_heads": 2,
        "indexer_kv_heads": 1,
        "indexer_head_dim": 16,
        "indexer_budget": 64,
        "indexer_compress_ratio": 4,
        "hc_lowrank": 8,
        "ngram_vocab_size_base": 97,
    },
    "reformer": {
        "is_decoder": True,
        "axial_pos_embds": False,
        "local_attn_chunk_length": 8,
        "lsh_attn_chunk_length": 8,
        "num_buckets": 4,
        "attention_head_size": 16,
    },
    "roc_bert": {
        "pronunciation_embed_dim": 8,
        "pronunciation_vocab_size": VOCABULARY,
        "shape_embed_dim": 8,
        "shape_vocab_size": VOCABULARY,
    },
    "gemma4_assistant": {"text_config": _ASSISTANT | {"model_type": "gemma4_text"}},
    "gemma4_unified_assistant": {"text_config": _ASSISTANT | {"model_type": "gemma4_unified_text"}},
    "xmod": {"default_language": "en_XX"},
    "recurrent_gemma": {"num_hidden_layers": 4, "block_types": ["recurrent"] * 2 + ["attention"]},
    "zamba": {
        "num_hidden_layers": 4,
        "layers_block_type": ["linear_attention", "hybrid"] * 2,
        "attention_hidden_size": 128,
        "attention_head_dim": 32,
        "num_key_value_heads": 4,
    },
    "zamba2": {
        "layers_block_type": ["linear_attention", "hybrid"] * (LAYERS // 2),
        "adapter_rank": 8,
        "mamba_headdim": 16,
        "n_mamba_heads": 8,
        "attention_head_dim": 32,
        "num_key_value_heads": 4,
        "num_query_groups": 4,
        "kv_channels": 16,
    },
    "zaya": {"num_experts_per_tok": 1, "router_hidden_size": 32},
    "kimi_linear": {"linear_head_dim": 16, "linear_num_heads": 4},
}


def tiny_config(cls: type[PreTrainedModel]) -> PretrainedConfig:
    """Return a small configuration of a model class; raises what its configuration class raises."""
    return _small_config(cls.config_class)


def _small_config(kind: Any) -> Any:
    special = _BY_TYPE.get(kind.model_type, {})
    try:
        own = kind()
    # Configurations are strangers' code: one without defaults may fail in any way.
    except Exception as error:
        _log.info("%s has no default configuration", kind.__name__, exc_info=error)
        own = kind(**special)
    names = set(vars(own)) | set(getattr(own, "attribute_map", {}))
    values = {name: value for name, value in _SMALL.items() if _is_settable(own, name, names)}
    values |= {
        name: _small_config(type(getattr(own, name))).to_dict()
        for name in getattr(own, "sub_configs", {})
        if getattr(own, name, None) is not None
    }
    if "kv_lora_rank" in names:  # latent attention: each head has its own keys
        values |= {"num_key_value_heads": 4, "head_dim": 8}
    types = getattr(own, "layer_types", None)
    if types and isinstance(vars(own).get("layer_types"), list):
        distinct = list(dict.fromkeys(types))
        count = max(LAYERS, len(distinct))
        values["layer_types"] = [distinct[i % len(distinct)] for i in range(count)]
        values |= {name: count for name in _COUNTS if name in values}
    values |= special
    return kind(**values)


def _is_settable(own: Any, name: str, names: set[str]) -> bool:
    """Tell whether a configuration names a size as one number, which may be set."""
    if name not in names:
        return False
    try:
        value = getattr(own, name, None)
    # Where the layers differ in it, configurations raise errors of several types.
    except Exception as error:
        _log.info("%s is read per layer", name, exc_info=error)
        return True
    return not isinstance(value, (list, dict))


def tiny_model(cls: type[PreTrainedModel], seed: int = 0) -> PreTrainedModel:
    """Return a random model in evaluation mode, its scores far from uniform; float32, on the CPU.

    Raises `MemoryError` where the configuration is not small.
    """
    config = tiny_config(cls)
    with torch.device("meta"):
        size = sum(p.numel() for p in cls(config).parameters())
    if size > PARAMETERS:
        raise MemoryError(f"{size:,} parameters are not tiny")
    torch.manual_seed(seed)
    model = cls(tiny_config(cls)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim >= 2:
                parameter.normal_(0.0, GAIN * min(parameter.shape[-2:]) ** -0.5)
            else:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model
