"""What a trace says of its making: model, tokenizer, prompt, versions, options."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import attentropy
from attentropy.engine.configuration import config_facts
from attentropy.engine.devices import input_device, names
from attentropy.engine.job import weights_sha256
from attentropy.engine.models import LoadedModel, tokenizer_facts
from attentropy.engine.prompts import Prompt


def provenance(
    loaded: LoadedModel, text: Prompt, notes: list[str], options: dict[str, Any]
) -> dict[str, Any]:
    """The trace's attributes that are known before the first pass; no tokenizer is None."""
    model = loaded.model
    devices = names(model)
    facts = config_facts(model.config) | {
        "name": loaded.name,
        "revision": loaded.revision,
        "parameters": model.num_parameters(),
        "dtype": str(model.dtype).removeprefix("torch."),
        "device": devices[0].split(":")[0] if len(devices) == 1 else ", ".join(devices),
    }
    if loaded.revision is None:  # a folder, whose name alone says little
        facts["weights_sha256"] = weights_sha256(model)
    return {
        "model": facts,
        "tokenizer": tokenizer_facts(loaded.tokenizer) if loaded.tokenizer is not None else None,
        "prompt": {"sha256": text.sha256, "tokens": len(text.ids), "chat": text.chat},
        "implementation": "triton" if input_device(model).type == "cuda" else "portable",
        "versions": _versions(),
        "options": options,
        "notes": notes,
    }


def _versions() -> dict[str, str]:
    found = {"attentropy": attentropy.__version__, "python": platform.python_version()}
    for name in ("torch", "transformers", "triton", "tokenizers", "numpy"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
