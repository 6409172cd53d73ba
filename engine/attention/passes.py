"""The passes that a recording follows: the ids that the model was given, and whether each ended."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from attentropy.engine.attention.visibility import Visibility
from attentropy.engine.errors import AttentropyError

UNKNOWN = -1  # the id of a token that the model was given as an embedding
_TWO = -2  # of a place that two passes gave different ids


@dataclass(frozen=True)
class _PassIds:
    """The ids [batch, queries] of one pass that starts at row `position` of the padded batch.

    starts and stops: the rows [batch] at which each sequence's tokens start and stop.
    """

    ids: np.ndarray
    position: int
    starts: np.ndarray
    stops: np.ndarray


class PassWatch:
    """Follows the passes of one model while `over` is open.

    Only inference is recorded: a pass with gradients, or of a model in training mode, is refused.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.has_failed = False
        self._open: list[nn.Module] = []  # the modules whose pass has not ended, outermost first
        self._ids: Tensor | None = None  # of the pass that is under way, until they are placed
        self._parts: list[_PassIds] = []

    @contextmanager
    def over(self) -> Iterator[None]:
        """Watch the passes of the model, or of its base model, while this is open."""
        callees = {self.model, getattr(self.model, "base_model", self.model)}
        handles = [m.register_forward_pre_hook(self._before, with_kwargs=True) for m in callees]
        handles += [m.register_forward_hook(self._after, always_call=True) for m in callees]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    @property
    def is_broken(self) -> bool:
        """Whether the last pass did not end."""
        return self.has_failed or bool(self._open)

    def place(self, visibility: Visibility, batch: int) -> None:
        """Note where the tokens of the pass under way stand, from its first attention call."""
        ids, self._ids = self._ids, None
        if ids is None or tuple(ids.shape) != (batch, visibility.queries):
            return
        starts, stops = (ends.numpy() for ends in visibility.tokens(batch))
        self._parts.append(_PassIds(ids.cpu().numpy(), visibility.position, starts, stops))

    def token_ids(self, sequence: int, tokens: int) -> list[int]:
        """Return the ids of one sequence of `tokens` tokens; `UNKNOWN` where none was given."""
        ids = np.full(tokens, UNKNOWN, np.int64)
        for part in self._parts:
            start, stop = int(part.starts[sequence]), int(part.stops[sequence])
            first = max(part.position, start)
            last = min(part.position + part.ids.shape[1], stop, start + tokens)
            if last <= first:
                continue
            new = part.ids[sequence, first - part.position : last - part.position]
            place = ids[first - start : last - start]
            place[...] = np.where((place == UNKNOWN) | (place == new), new, _TWO)
        return [int(token) if token != _TWO else UNKNOWN for token in ids]

    def _before(self, module: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        if module in self._open:  # its last pass was interrupted
            del self._open[self._open.index(module) :]
        if not self._open:
            _check_inference(self.model)
            self._ids = _input_ids(module, args, kwargs)
        self._open.append(module)

    def _after(self, module: nn.Module, args: Any, output: Any) -> None:
        if module not in self._open:  # it was refused before it began
            return
        del self._open[self._open.index(module) :]
        if not self._open:
            self.has_failed = output is None
            self._ids = None


def _check_inference(model: nn.Module) -> None:
    """Raise `AttentropyError` for a training pass."""
    if model.training:
        raise AttentropyError("the model is in training mode; call model.eval() before recording")
    if torch.is_grad_enabled():
        raise AttentropyError(
            "gradients are enabled inside record(), which records inference only; remove "
            "torch.enable_grad()"
        )


def _input_ids(module: nn.Module, args: Any, kwargs: dict[str, Any]) -> Tensor | None:
    """Return the ids [batch, tokens] that a pass was given, None for embeddings."""
    ids = kwargs.get("input_ids")
    if ids is None and args and kwargs.get("inputs_embeds") is None:
        names = list(inspect.signature(module.forward).parameters)
        ids = args[0] if names[:1] == ["input_ids"] else None
    is_ids = isinstance(ids, Tensor) and ids.ndim == 2 and not ids.is_floating_point()
    return ids if is_ids else None
