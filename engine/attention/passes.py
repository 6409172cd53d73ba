"""The passes of one model, told apart by the calls of the model itself: where each begins and ends.

A pass is the outermost call of the model, of its base, or of what is around it. The attention calls
within it belong to it, whatever their lengths.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from attentropy.engine.errors import AttentropyError


class PassWatch:
    """Follows the passes of one model while `over` is open.

    Only inference is recorded: a pass with gradients, or of a model in training mode, is refused.
    number: of the pass that is under way, counted from 1. ids: the ids [batch, tokens] that it was
    given, None for embeddings.
    """

    def __init__(self, model: nn.Module, around: Iterable[nn.Module] = ()) -> None:
        self.model = model
        self.callers = tuple(dict.fromkeys((*around, model, getattr(model, "base_model", model))))
        self.number = 0
        self.ids: Tensor | None = None
        self._open: list[nn.Module] = []  # the modules whose call has not ended, outermost first
        self._inner: Any = None  # the output of a call within the pass
        self._is_paused = False

    @contextmanager
    def over(self, ended: Callable[[Any, Any], None]) -> Iterator[None]:
        """Watch the passes while this is open.

        ended: called after each pass with its output, None where it failed, and with the output of
        the last call within it.
        """

        def after(module: nn.Module, args: Any, output: Any) -> None:
            if self._is_paused or module not in self._open:  # it was refused before it began
                return
            del self._open[self._open.index(module) :]
            if self._open:
                self._inner = output
                return
            inner, self._inner, self.ids = self._inner, None, None
            with self._paused():  # passes that are made now are not of the sequence
                ended(output, inner)

        handles = [
            m.register_forward_pre_hook(self._before, with_kwargs=True) for m in self.callers
        ]
        handles += [m.register_forward_hook(after, always_call=True) for m in self.callers]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    @property
    def is_open(self) -> bool:
        """Whether a pass is under way."""
        return bool(self._open)

    @contextmanager
    def _paused(self) -> Iterator[None]:
        self._is_paused = True
        try:
            yield
        finally:
            self._is_paused = False

    def _before(self, module: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        if self._is_paused:
            return
        if module in self._open:  # its last call was interrupted
            del self._open[self._open.index(module) :]
        if not self._open:
            _check_inference(self.model)
            self.number += 1
            self._inner = None
            self.ids = _input_ids(module, args, kwargs)
        if self.ids is None:
            self.ids = _input_ids(module, args, kwargs)
        _check_no_weights(self.model, kwargs)
        self._open.append(module)


def _check_inference(model: nn.Module) -> None:
    """Raise `AttentropyError` for a training pass."""
    if model.training:
        raise AttentropyError("the model is in training mode; call model.eval() before recording")
    if torch.is_grad_enabled():
        raise AttentropyError(
            "gradients are enabled inside record(), which records inference only; remove "
            "torch.enable_grad()"
        )


def _check_no_weights(model: Any, kwargs: dict[str, Any]) -> None:
    """Raise `AttentropyError` where a pass is to return its attention weights."""
    weights = kwargs.get("output_attentions")
    if weights or (weights is None and getattr(model.config, "output_attentions", False)):
        raise AttentropyError(
            "no attention weights exist while a model is recorded, so output_attentions=True would "
            "return none; leave it out, or run that pass outside record()"
        )


def _input_ids(module: nn.Module, args: Any, kwargs: dict[str, Any]) -> Tensor | None:
    """Return the ids [batch, tokens] that a pass was given, None for embeddings."""
    ids = kwargs.get("input_ids")
    if ids is None and args and kwargs.get("inputs_embeds") is None:
        names = list(inspect.signature(module.forward).parameters)
        ids = args[0] if names[:1] == ["input_ids"] else None
    is_ids = isinstance(ids, Tensor) and ids.ndim == 2 and not ids.is_floating_point()
    return ids if is_ids else None
