"""Switch a model to the hook's attention and back, and name the listener of its calls."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

from transformers import PreTrainedModel

from attentropy.engine.attention import hook
from attentropy.engine.attention.masks import Built
from attentropy.engine.errors import AttentropyError, OwnAttention
from attentropy.engine.model.inner import uncompiled

_lock = Lock()


@contextmanager
def listening(
    model: PreTrainedModel, listener: hook.Listener, *, masks_built: bool
) -> Iterator[None]:
    """Run the model's attention through the hook while open, and tell `listener` of each call.

    Other models may be listened to at the same time, each by its own listener.
    """
    hook.register()
    modules = frozenset(id(module) for module in model.modules())
    mine = hook.Listening(listener, modules, masks_built)
    others = [other for other in hook.Open.listeners if not other.modules & modules]
    if any(other.masks_built != masks_built for other in others):
        raise AttentropyError(
            f"{type(model).__name__} needs its masks in another form than the model that is being "
            "recorded; record one model after the other"
        )
    with attention_of(model, hook.NAME):
        _listen(add=mine)
        try:
            yield
        finally:  # whatever the order in which listeners end
            _listen(remove=mine)


def _listen(add: hook.Listening | None = None, remove: hook.Listening | None = None) -> None:
    with _lock:
        remaining = [one for one in hook.Open.listeners if one is not remove]
        hook.Open.listeners = (*remaining, *([] if add is None else [add]))
        Built.needed = any(one.masks_built for one in hook.Open.listeners[-1:])


@contextmanager
def attention_of(model: PreTrainedModel, implementation: str) -> Iterator[None]:
    """Give `model` another attention implementation while open.

    Compiled code is left aside meanwhile: it would be that of another attention. Raises
    `AttentropyError` where the model does not allow that.
    """
    before = model.config._attn_implementation
    with uncompiled():
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
        raise OwnAttention(
            f"{type(model).__name__} uses its own attention implementation, not transformers' "
            'attention interface; with `stats="none"` a run reads the lens alone'
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
