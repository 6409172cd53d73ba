"""Open the model that a caller names or hands over, and check a prompt against it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from attentropy.engine.errors import UsageError
from attentropy.engine.model.inner import inner_model
from attentropy.engine.model.load import LoadedModel, load, wrap_loaded
from attentropy.engine.model.positions import usable_positions
from attentropy.engine.trace.text import count


def open_model(model: Any, tokenizer: Any, placement: dict[str, Any]) -> LoadedModel:
    """Return the model of a hub id or a folder, the embedded one for None, or a loaded one.

    placement: revision, dtype, device and bits, which do not apply to a loaded model. Raises
    `UsageError`.
    """
    if not (model is None or isinstance(model, (str, Path))):
        inner = inner_model(model)
        if names := [name for name, value in placement.items() if value is not None]:
            raise UsageError(f"`{names[0]}` does not apply to a model that is already loaded")
        if not inner.model.can_generate() and inner.model.get_output_embeddings() is None:
            raise UsageError(
                f"{type(inner.model).__name__} has no head that predicts tokens, so it has no "
                "answer and no lens; record its attention with attentropy.record"
            )
        loaded = wrap_loaded(inner.model, tokenizer)
        return replace(loaded, notes=(*loaded.notes, *inner.notes))
    if tokenizer is not None:
        raise UsageError("`tokenizer` is only for a model that is already loaded")
    return load(model, **placement)


def check_length(loaded: LoadedModel, tokens: int) -> None:
    """Raise `UsageError` for a prompt that is longer than the model's context."""
    positions = usable_positions(loaded.model)
    if positions is not None and tokens > positions:
        raise UsageError(
            f"the prompt has {count(tokens, 'token')}, but {loaded.name!r} supports only "
            f"{positions:,}; shorten the prompt"
        )
