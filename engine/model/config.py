"""A model's configuration, believed only as far as the sizes of its weights confirm it."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from attentropy.engine.errors import AttentropyError
from attentropy.engine.model.classes import empty_model
from attentropy.engine.model.files import StoredSizes
from attentropy.engine.model.sandbox import run_bounded
from attentropy.engine.trace.text import count

_QUANTIZATIONS = {"bitsandbytes", "fp8", "mxfp4"}
_WEIGHTS_PER_ELEMENT = 2.1  # a stored byte may hold two quantised weights
_MAX_COMPUTED = 4_000_000  # elements of tables that a model computes, which no file holds
_MAX_BUFFER_BYTES = 2**28  # in addition to the bytes of the weights
_MAX_FACT = 2**40
# Names of the number of positions: most models', GPT-2's, Whisper's decoder, MPT's, Bark's …
_POSITIONS = (
    "max_position_embeddings",
    "n_positions",
    "max_target_positions",
    "max_text_positions",
    "max_seq_len",
    "n_ctx",
    "block_size",
)
_SECONDS = 60
_MEBIBYTES = 1024

_logger = logging.getLogger(__name__)


def read_config(
    folder: Path, name: str, weights: StoredSizes | None = None, gguf: str | None = None
) -> Any:
    """Return the configuration in `folder`, after a bounded child process has read it.

    gguf: the name of the folder's GGUF file, which has both it and the tokenizer; the child makes
    that, too. With `weights`, the child also builds the model that it describes, without memory for
    its parameters. Raises `AttentropyError` for an impossible configuration, and for a model that
    is larger than the stored weights.
    """
    mebibytes = _MEBIBYTES
    if gguf is None:
        _refuse_nan(folder, name)
    else:
        mebibytes += (folder / gguf).stat().st_size >> 20  # it is mapped as a whole

    def work() -> None:
        config = _parse(folder, name, gguf)
        if gguf is not None:
            transformers_tokenizer(folder, gguf)
        _check_facts(config, name, weights)
        if weights is not None:
            _check_size(config, name, weights)

    run_bounded(work, seconds=_SECONDS, mebibytes=mebibytes)
    return _parse(folder, name, gguf)


def transformers_tokenizer(folder: str | Path, gguf: str | None = None, **source: Any) -> Any:
    """Return the tokenizer of a folder, a hub id or a GGUF file; no code of its author runs."""
    import transformers

    return transformers.AutoTokenizer.from_pretrained(
        str(folder), trust_remote_code=False, **source, **_file_argument(gguf)
    )


def _file_argument(gguf: str | None) -> dict[str, str]:
    return {} if gguf is None else {"gguf_file": gguf}


def config_facts(config: Any) -> dict[str, Any]:
    """Return the sizes of a model as its configuration gives them, None where it does not."""
    text = config.get_text_config()

    def fact(*names: str) -> Any:
        values = (_global_value(text, name) for name in names)
        return next((value for value in values if value is not None), None)

    heads = fact("num_attention_heads", "n_head")
    return {
        "type": str(config.model_type),
        "layers": fact("num_hidden_layers", "n_layer"),
        "heads": heads,
        "kv_heads": fact("num_key_value_heads") or heads,
        "hidden_size": fact("hidden_size", "n_embd"),
        "vocabulary": fact("vocab_size"),
        "positions": fact(*_POSITIONS),
    }


def _global_value(config: Any, name: str) -> Any:
    """Return an attribute of a configuration, None where it has no value for all layers."""
    try:
        return getattr(config, name, None)
    except (RuntimeError, ValueError, LookupError, TypeError) as error:
        # transformers raises a RuntimeError where layers differ, a property may raise the others.
        _logger.debug("no %s for all layers: %s", name, error)
        return None


def _parse(folder: Path, name: str, gguf: str | None) -> Any:
    import transformers

    config = transformers.AutoConfig.from_pretrained(
        str(folder), trust_remote_code=False, **_file_argument(gguf)
    )
    quantization = getattr(config, "quantization_config", None)
    if quantization is not None:
        method = quantization.get("quant_method") if isinstance(quantization, dict) else None
        if method not in _QUANTIZATIONS:
            raise AttentropyError(
                f"{name!r}: attentropy does not support the quantisation {str(method)[:40]!r}"
            )
    # A configuration may name an attention kernel to download and run: no name is accepted.
    config._attn_implementation = None
    config.transformers_weights = None  # nor other files of weights
    return config


def _refuse_nan(folder: Path, name: str) -> None:
    def constant(word: str) -> float:
        if word == "NaN":
            raise AttentropyError(f"{name!r}: its configuration contains NaN")
        return float(word.replace("Infinity", "inf"))

    json.loads((folder / "config.json").read_text("utf-8"), parse_constant=constant)


def _check_facts(config: Any, name: str, weights: StoredSizes | None) -> None:
    facts = config_facts(config)
    for key in ("layers", "heads", "kv_heads", "hidden_size", "vocabulary", "positions"):
        value = facts[key]
        if value is None or isinstance(value, list):  # a list has one for each layer
            continue
        if type(value) is not int or not 1 <= value <= _MAX_FACT:
            raise AttentropyError(
                f"{name!r}: its configuration has an invalid number of {key}: {str(value)[:40]!r}"
            )
    layers = facts["layers"]
    if weights is not None and isinstance(layers, int) and layers > weights.tensors:
        raise AttentropyError(
            f"{name!r}: its configuration has {count(layers, 'layer')}, but its weights have "
            f"only {count(weights.tensors, 'tensor')}"
        )


def _check_size(config: Any, name: str, weights: StoredSizes) -> None:
    import torch

    torch.set_num_threads(1)  # a forked child does not have its parent's threads
    model = empty_model(config)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    quantized = getattr(config, "quantization_config", None) is not None
    max_parameters = weights.elements * (_WEIGHTS_PER_ELEMENT if quantized else 1) + _MAX_COMPUTED
    buffers = sum(buffer.numel() * buffer.element_size() for buffer in model.buffers())
    if parameters > max_parameters or buffers > weights.bytes + _MAX_BUFFER_BYTES:
        raise AttentropyError(
            f"{name!r}: its configuration needs {count(parameters, 'parameter')} and "
            f"{buffers >> 20:,} MiB of buffers, but its weights have only "
            f"{count(weights.elements, 'element')}"
        )
