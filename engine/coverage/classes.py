"""The causal language models of the installed transformers, by name."""

from __future__ import annotations

import importlib
import re
from functools import lru_cache
from pathlib import Path

import transformers
from transformers import PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

_CLASS = re.compile(r"^class (\w+ForCausalLM)\(", re.MULTILINE)


@lru_cache(maxsize=1)
def class_names() -> dict[str, str]:
    """Return each causal model's class and the module that defines it, in alphabetical order.

    Every `*ForCausalLM`, and what `AutoModelForCausalLM` builds under another name. The source
    files are searched: no model's module is imported.
    """
    folder = Path(transformers.__file__).parent / "models"
    mapped = {
        name for value in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values() for name in _as_tuple(value)
    }
    modules: dict[str, str] = {}
    for file in sorted(folder.glob("*/modeling_*.py")):
        module = f"transformers.models.{file.parent.name}.{file.stem}"
        if file.parent.name == "auto":
            continue
        text = file.read_text("utf-8")
        for name in _CLASS.findall(text):
            modules[name] = module
        for name in mapped - set(modules):
            if f"\nclass {name}(" in text:
                modules[name] = module
    return dict(sorted(modules.items(), key=lambda item: item[0].lower()))


def find_class(name: str) -> type[PreTrainedModel]:
    """Return the class of that name; `KeyError` where the installed transformers has none."""
    cls: type[PreTrainedModel] = getattr(importlib.import_module(class_names()[name]), name)
    return cls


def _as_tuple(value: str | tuple[str, ...]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)
