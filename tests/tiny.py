"""Tiny random models and tokenizers, saved as folders like those of a user."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast
from transformers.utils.logging import disable_progress_bar

disable_progress_bar()  # it would write into the output that tests of the command line read

TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<|start|>{{ m['role'] }}\n"
    "{{ m['content'] | trim }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)


def tokenizer(template: str | None = TEMPLATE) -> PreTrainedTokenizerFast:
    """Return a tokenizer in which every byte is a token, with special tokens after the bytes."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    raw = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    fast_tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw,
        bos_token="<|bos|>",
        eos_token="<|end|>",
        additional_special_tokens=["<|start|>"],
    )
    fast_tokenizer.chat_template = template
    return fast_tokenizer


def config(kind: str = "llama", **extra: Any) -> Any:
    """Return a small configuration of a model type, if possible with 4 query and 2 key heads."""
    sizes = {
        "vocab_size": 264,
        "hidden_size": 48,
        "intermediate_size": 64,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "bos_token_id": 256,
        "eos_token_id": 257,
        "pad_token_id": 257,
    }
    return AutoConfig.for_model(kind, **(sizes | extra))


def model(kind: str = "llama", seed: int = 0, **extra: Any) -> torch.nn.Module:
    """Return a random model in evaluation mode whose attention is far from uniform."""
    torch.manual_seed(seed)
    random_model = AutoModelForCausalLM.from_config(config(kind, **extra))
    with torch.no_grad():
        for name, parameter in random_model.named_parameters():
            if parameter.ndim == 2 and "norm" not in name:
                parameter.mul_(6.0)
    return random_model.eval()


def save(folder: Path, kind: str = "llama", **extra: Any) -> Path:
    """Save a model and its tokenizer with `save_pretrained` and return the folder."""
    model(kind, **extra).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder
