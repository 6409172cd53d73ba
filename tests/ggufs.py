"""GGUF files of tests/tiny.py's models, as llama.cpp's converter writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from attentropy.engine.errors import UsageError
from attentropy.engine.model.gguf import check_installed
from tiny import model, tokenizer

SIZES = {"hidden_size": 64, "intermediate_size": 128}  # whole blocks of 32 values
_NAMES = {
    "model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output",
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}  # fmt: skip


def can_be_read() -> bool:
    """Return whether the installed libraries read GGUF files."""
    try:
        check_installed("a file")
    except UsageError:
        return False
    return True


def write(path: Path, quantization: str = "F32") -> Any:
    """Write a Qwen2 model and its tokenizer into one file, and return the model as it is there."""
    import gguf

    subject, words = model("qwen2", **SIZES), tokenizer()
    config: Any = subject.config
    writer = gguf.GGUFWriter(path, "qwen2")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    _add_tokenizer(writer, words, config.vocab_size)
    kind = gguf.GGMLQuantizationType[quantization]
    state = subject.state_dict()
    for name, tensor in state.items():
        values = tensor.numpy()
        if values.ndim == 2 and quantization != "F32":
            packed = gguf.quants.quantize(values, kind)
            writer.add_tensor(_name(name), packed, raw_dtype=kind)
            tensor.copy_(tensor.new_tensor(gguf.quants.dequantize(packed, kind)))
        else:
            writer.add_tensor(_name(name), np.ascontiguousarray(values))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return subject


def vocabulary(size: int) -> dict[str, int]:
    """Return the file's tokens with their ids: the tokenizer's, and names for the ids left over."""
    words = tokenizer()
    tokens = {number: token for token, number in words.get_vocab().items()}
    tokens[len(words)] = "ĠĠ"  # for the one merge that there is
    return {tokens.get(number, f"[unused{number}]"): number for number in range(size)}


def _add_tokenizer(writer: Any, words: Any, size: int) -> None:
    special = set(words.all_special_ids)
    numbers = range(size)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(list(vocabulary(size)))
    writer.add_token_types([3 if number in special else 1 for number in numbers])
    writer.add_token_merges(["Ġ Ġ"])  # an empty list has no type
    writer.add_bos_token_id(words.bos_token_id)
    writer.add_eos_token_id(words.eos_token_id)
    writer.add_chat_template(words.chat_template)


def _name(name: str) -> str:
    stem, _, last = name.rpartition(".")
    prefix = ""
    if stem.startswith("model.layers."):
        number, _, stem = stem.removeprefix("model.layers.").partition(".")
        prefix = f"blk.{number}."
    return f"{prefix}{_NAMES[stem]}.{last}"
