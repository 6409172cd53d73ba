"""Collect where a trace comes from: model, tokenizer, prompt, versions, options."""

from __future__ import annotations

import hashlib
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

import attentropy
from attentropy.engine.model.config import config_facts
from attentropy.engine.model.devices import device_names, input_device
from attentropy.engine.model.load import LoadedModel
from attentropy.engine.model.positions import usable_positions
from attentropy.engine.model.vocabulary import vocabulary_sha256
from attentropy.engine.model.weights import weights_sha256
from attentropy.engine.prompt.prepare import Prompt
from attentropy.kernels.choice import choose_on_cpu, has_triton


def provenance(
    described: dict[str, Any], text: Prompt, notes: list[str], options: dict[str, Any]
) -> dict[str, Any]:
    """Return the attributes of a trace; `described` are those of `describe_run`."""
    prompt = {"sha256": text.sha256, "tokens": len(text.ids), "chat": text.chat}
    return described | {"prompt": prompt, "options": options, "notes": notes}


def describe_run(loaded: LoadedModel, work: float = 0) -> dict[str, Any]:
    """Return what is the same for every prompt; the tokenizer is None where there is none.

    work: floating-point operations of the run's attention, which may repay compiling the C code.
    """
    model = loaded.model
    devices = device_names(model)
    facts = config_facts(model.config) | {
        "positions": usable_positions(model),
        "name": loaded.name,
        "revision": loaded.revision,
        "parameters": model.num_parameters(),
        "dtype": str(model.dtype).removeprefix("torch."),
        "device": devices[0].split(":")[0] if len(devices) == 1 else ", ".join(devices),
    }
    quantization = loaded.quantization or _quantization(model.config)
    if quantization is not None:
        facts["quantization"] = quantization
    if loaded.revision is None:  # a folder, whose name alone says little
        facts["weights_sha256"] = weights_sha256(model)
    return {
        "model": facts,
        "tokenizer": _tokenizer(loaded.tokenizer) if loaded.tokenizer is not None else None,
        "implementation": _implementation(model, work),
        "versions": _versions(),
    }


def _implementation(model: Any, work: float) -> str:
    """Return what computes the model's attention."""
    if input_device(model).type == "cuda":
        return "triton" if has_triton() else "portable"
    return "portable" if model.dtype == torch.float64 else choose_on_cpu(work)


def _quantization(config: Any) -> str | None:
    """Return how the weights in memory are quantized (4bit and 8bit: bitsandbytes), None if not."""
    own: Any = getattr(config, "quantization_config", None)
    facts = own.to_dict() if hasattr(own, "to_dict") else own
    if not isinstance(facts, dict):
        return None
    bits = [name for name in ("4bit", "8bit") if facts.get(f"load_in_{name}")]
    method = facts.get("quant_method")
    return bits[0] if bits else str(getattr(method, "value", method))


def _tokenizer(tokenizer: Any) -> dict[str, Any]:
    """Return the kind of the tokenizer, and hashes by which two runs can be compared."""
    template = tokenizer.chat_template
    return {
        "type": type(tokenizer).__name__,
        "sha256": vocabulary_sha256(tokenizer),
        "chat_template_sha256": (
            hashlib.sha256(str(template).encode()).hexdigest() if template else None
        ),
    }


def _versions() -> dict[str, str]:
    versions = {"attentropy": attentropy.__version__, "python": platform.python_version()}
    for name in ("torch", "transformers", "triton", "tokenizers", "numpy"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions
