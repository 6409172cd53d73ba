"""The causal language models of the installed transformers, by name."""

from __future__ import annotations

import importlib
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

_CLASS = re.compile(r"^class (\w+ForCausalLM)\(", re.MULTILINE)


@lru_cache(maxsize=1)
def class_names() -> dict[str, str]:
    """Each causal model's class and the module that defines it, in alphabetical order.

    Every `*ForCausalLM`, and what `AutoModelForCausalLM` builds under another name. Read off the
    source files: nothing is imported but the mapping.
    """
    import transformers
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as mapped

    folder = Path(transformers.__file__).parent / "models"
    named = {name for value in mapped.values() for name in _names(value)}
    found = {}
    for file in sorted(folder.glob("*/modeling_*.py")):
        module = f"transformers.models.{file.parent.name}.{file.stem}"
        if file.parent.name == "auto":
            continue
        text = file.read_text("utf-8")
        for name in _CLASS.findall(text):
            found[name] = module
        for name in named - set(found):
            if f"\nclass {name}(" in text:
                found[name] = module
    return dict(sorted(found.items(), key=lambda item: item[0].lower()))


def find_class(name: str) -> Any:
    """The class of that name; `KeyError` where the installed transformers has none."""
    return getattr(importlib.import_module(class_names()[name]), name)


def _names(value: Any) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)
