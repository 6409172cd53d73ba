"""What a model's configuration says, believed only as far as its weights bear it out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from attentropy.engine.errors import AttentropyError
from attentropy.engine.model.files import Stored
from attentropy.engine.model.sandbox import bounded

_QUANTIZATIONS = {"bitsandbytes", "fp8", "mxfp4"}
_PER_ELEMENT = 2.1  # a stored byte may hold two quantised weights
_UNSTORED = 4_000_000  # elements of tables that a model computes and no file holds
_BUFFERS = 2**28  # bytes, beside those of the weights
_LARGEST = 2**40
_SECONDS = 60
_MEBIBYTES = 1024


def read_config(folder: Path, name: str, weights: Stored | None = None) -> Any:
    """The configuration in `folder`, which a bounded child process has read before.

    With `weights`, the model that it describes was built there too, without memory for its
    parameters, and found no larger than what is stored. Raises `AttentropyError` otherwise.
    """
    _refuse_nan(folder, name)

    def work() -> None:
        config = _parse(folder, name)
        _check_facts(config, name, weights)
        if weights is not None:
            _check_size(config, name, weights)

    bounded(work, seconds=_SECONDS, mebibytes=_MEBIBYTES)
    return _parse(folder, name)


def config_facts(config: Any) -> dict[str, Any]:
    """Sizes of a model by its configuration; None where it does not say."""
    text = config.get_text_config()

    def fact(*names: str) -> Any:
        return next((v for n in names if (v := _said(text, n)) is not None), None)

    heads = fact("num_attention_heads", "n_head")
    return {
        "type": str(config.model_type),
        "layers": fact("num_hidden_layers", "n_layer"),
        "heads": heads,
        "kv_heads": fact("num_key_value_heads") or heads,
        "hidden_size": fact("hidden_size", "n_embd"),
        "vocabulary": fact("vocab_size"),
        "positions": fact("max_position_embeddings", "n_positions"),
    }


def _said(config: Any, name: str) -> Any:
    try:
        return getattr(config, name, None)
    except Exception:  # transformers raises where the layers differ in it, and is asked for one
        return None


def _parse(folder: Path, name: str) -> Any:
    import transformers

    config = transformers.AutoConfig.from_pretrained(str(folder), trust_remote_code=False)
    quantization = getattr(config, "quantization_config", None)
    if quantization is not None:
        method = quantization.get("quant_method") if isinstance(quantization, dict) else None
        if method not in _QUANTIZATIONS:
            raise AttentropyError(
                f"{name!r}: quantisation {str(method)[:40]!r} is not one that attentropy loads"
            )
    # A configuration may name a kernel to download and run; the attention is ours to choose.
    config._attn_implementation = None
    config.transformers_weights = None  # nor may it name other files of weights
    return config


def _refuse_nan(folder: Path, name: str) -> None:
    def constant(word: str) -> float:
        if word == "NaN":
            raise AttentropyError(f"{name!r}: its configuration holds a NaN")
        return float(word.replace("Infinity", "inf"))

    json.loads((folder / "config.json").read_text("utf-8"), parse_constant=constant)


def _check_facts(config: Any, name: str, weights: Stored | None) -> None:
    facts = config_facts(config)
    for key in ("layers", "heads", "kv_heads", "hidden_size", "vocabulary", "positions"):
        value = facts[key]
        if value is None or isinstance(value, list):  # a list: one for each layer
            continue
        if type(value) is not int or not 1 <= value <= _LARGEST:
            raise AttentropyError(f"{name!r}: its configuration gives {str(value)[:40]!r} {key}")
    layers = facts["layers"]
    if weights is not None and isinstance(layers, int) and layers > weights.tensors:
        raise AttentropyError(
            f"{name!r}: its configuration gives {layers} layers, and its weights have "
            f"{weights.tensors} tensors"
        )


def _check_size(config: Any, name: str, weights: Stored) -> None:
    import torch
    import transformers

    torch.set_num_threads(1)  # a forked child has none of its parent's threads
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    wanted = sum(parameter.numel() for parameter in model.parameters())
    quantized = getattr(config, "quantization_config", None) is not None
    most = weights.elements * (_PER_ELEMENT if quantized else 1) + _UNSTORED
    buffers = sum(buffer.numel() * buffer.element_size() for buffer in model.buffers())
    if wanted > most or buffers > weights.bytes + _BUFFERS:
        raise AttentropyError(
            f"{name!r}: its configuration asks for {wanted} parameters and {buffers >> 20} MiB of "
            f"tables, and its weights have {weights.elements} elements"
        )
