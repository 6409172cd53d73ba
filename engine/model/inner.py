"""The transformers model inside what a caller gives: compiled, with adapters, or with towers.

Wrappers are known by their classes' names and homes, so that no library has to be imported.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from attentropy.engine.errors import UsageError


@dataclass(frozen=True)
class InnerModel:
    """A transformers model, the modules around it by which passes may begin, and notes on them."""

    model: PreTrainedModel
    around: tuple[nn.Module, ...] = ()
    notes: tuple[str, ...] = field(default=())


def inner_model(model: Any) -> InnerModel:
    """Return the transformers model inside `model`, which may be compiled or have adapters.

    Its passes are those of the whole: compiled code is that of the model inside, and adapters of
    peft are modules inside it. Raises `UsageError` for anything else.
    """
    around: list[nn.Module] = []
    notes: list[str] = []
    inner = model
    while not isinstance(inner, PreTrainedModel):
        home = [part.__module__.split(".")[0] for part in type(inner).__mro__]
        if isinstance(getattr(inner, "_orig_mod", None), nn.Module):
            inner = inner._orig_mod  # its call is that of the module inside
        elif "peft" in home and hasattr(inner, "get_base_model"):
            notes.append(_adapter_note(inner))
            around += [inner, *_tuners(inner)]
            inner = inner.get_base_model()
        else:
            raise UsageError(
                "`model` must be a transformers model, a hub id or a local folder, not "
                f"{type(inner).__name__}; give the transformers model inside it"
            )
    return InnerModel(inner, tuple(around), tuple(notes))


def _adapter_note(model: Any) -> str:
    """Return what the trace says of adapters; refuse those that add tokens of their own."""
    configs: dict[str, Any] = getattr(model, "peft_config", {})
    names = getattr(model, "active_adapters", None) or getattr(model, "active_adapter", None)
    active = [names] if isinstance(names, str) else list(names or configs)
    for name in active:
        if getattr(configs.get(name), "is_prompt_learning", False):
            raise UsageError(
                f"the adapter {name!r} puts virtual tokens before the prompt, which have no text; "
                "give model.get_base_model() to record the model without it"
            )
    return f"the model has adapters of peft: {', '.join(map(str, active))}"


def _tuners(model: Any) -> list[nn.Module]:
    tuner = getattr(model, "base_model", None)
    return [tuner] if isinstance(tuner, nn.Module) else []


class _Stance:
    """The compiler's stance, changed by the first that needs it and restored by the last."""

    users = 0
    change: Any = None


@contextmanager
def uncompiled() -> Iterator[None]:
    """Run compiled models as they were written while this is open: only such calls can be followed.

    Where nothing was compiled so far, the compiler is not imported.
    """
    if _Stance.users == 0 and ("torch._dynamo" in sys.modules or torch.cuda.is_available()):
        _Stance.change = torch.compiler.set_stance("force_eager")
        _Stance.change.__enter__()
    _Stance.users += 1
    try:
        yield
    finally:
        _Stance.users -= 1
        if _Stance.users == 0 and _Stance.change is not None:
            _Stance.change.__exit__(None, None, None)
            _Stance.change = None


def text_model(model: PreTrainedModel) -> PreTrainedModel:
    """Return the part of `model` that reads tokens where others read images or sound; else `model`.

    The other parts have attention of their own, whose rows are not tokens.
    """
    decoder = model.get_decoder() if hasattr(model, "get_decoder") else None
    if not isinstance(decoder, PreTrainedModel) or decoder is model:
        return model
    inside = {id(module) for module in decoder.modules()}
    towers = [
        module
        for module in model.modules()
        if isinstance(module, PreTrainedModel)
        and id(module) not in inside
        and all(part is not decoder for part in module.modules())
    ]
    return decoder if towers else model
