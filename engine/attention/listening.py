"""Switch a model to the hook's attention and back, and name the listener of its calls."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from transformers import PreTrainedModel

from attentropy.engine.attention import hook
from attentropy.engine.attention.masks import built
from attentropy.engine.errors import AttentropyError


@contextmanager
def listening(
    model: PreTrainedModel, listener: hook.Listener, *, masks_built: bool
) -> Iterator[None]:
    """Run the model's attention through the hook while open, and tell `listener` of each call."""
    hook.register()
    masks = built.set(masks_built)
    try:
        with attention_of(model, hook.NAME):
            token = hook.listener.set(listener)
            try:
                yield
            finally:
                hook.listener.reset(token)
    finally:
        built.reset(masks)


@contextmanager
def attention_of(model: PreTrainedModel, implementation: str) -> Iterator[None]:
    """Give `model` another attention implementation while open.

    Raises `AttentropyError` where the model does not allow that.
    """
    before = model.config._attn_implementation
    try:
        _set_attention(model, implementation)
        yield
    finally:
        _set_attention(model, before)


def _set_attention(model: Any, implementation: str) -> None:
    with warnings.catch_warnings(), _quiet():
        warnings.simplefilter("ignore")
        try:
            model.set_attn_implementation(implementation)
        except (ValueError, AttributeError) as error:
            raise AttentropyError(
                f"{type(model).__name__} does not allow its attention implementation to be changed"
            ) from error
    if model.config._attn_implementation != implementation:
        raise AttentropyError(
            f"{type(model).__name__} uses its own attention implementation, not transformers' "
            "attention "
            "interface"
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress what transformers logs when a model keeps its attention: an error is raised here."""
    logger = logging.getLogger("transformers.modeling_utils")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
