"""An answer read again with parts of the prompt hidden from it: transformers with a dense mask.

Every reading is a whole eager pass over prompt and answer. What is hidden is −inf in a mask of
rows × keys, so positions do not shift; a row always sees itself.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from real.reader import Model

TOKENS = 2048  # of a batch, but one reading at least
Cut = tuple[Collection[int], int]  # keys, and the first row that does not see them
Variant = Sequence[Cut]


class HiddenReadings:
    """Reads an answer with keys hidden; ids: of prompt and answer."""

    def __init__(self, model: Model, ids: Sequence[int], prompt: int) -> None:
        self._model, self._ids, self._prompt = model, torch.tensor(list(ids)), prompt

    @torch.no_grad()
    def logprobs(self, variants: Sequence[Variant], first_layer: int = 0) -> np.ndarray:
        """Return ln p of each token of the answer, hidden from a layer on, [variant, step]."""
        n, answer = len(self._ids), self._ids[self._prompt :]
        rows = torch.arange(self._prompt - 1, n - 1)
        many = max(1, TOKENS // n)
        parts = [np.zeros((0, len(answer)))]
        for start in range(0, len(variants), many):
            own = variants[start : start + many]
            with self._seeing_all_below(first_layer, len(own)):
                logits = self._model.model(
                    self._ids.expand(len(own), n), attention_mask=self._masks(own),
                    position_ids=torch.arange(n).expand(len(own), n), use_cache=False,
                    logits_to_keep=rows,
                ).logits  # fmt: skip
            logprobs = logits.double().log_softmax(-1)
            parts.append(logprobs.gather(-1, answer.expand(len(own), -1)[..., None])[..., 0])
        return np.concatenate(parts)

    @contextmanager
    def _seeing_all_below(self, first_layer: int, many: int) -> Iterator[None]:
        """Let the layers below one see every key."""
        whole = self._masks([()] * many)
        types = getattr(self._model.model.config, "layer_types", None)

        def see(number: int) -> Any:
            mask = whole[types[number]] if isinstance(whole, dict) else whole
            return lambda module, args, kwargs: (args, kwargs | {"attention_mask": mask})

        hooks = [
            layer.self_attn.register_forward_pre_hook(see(number), with_kwargs=True)
            for number, layer in enumerate(self._model.layers[:first_layer])
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _masks(self, variants: Sequence[Variant]) -> Any:
        """Return the mask [variant, 1, row, key], by kind of layer where there are several."""
        config = self._model.model.config
        kinds = set(getattr(config, "layer_types", None) or ())
        whole = torch.stack([self._visible(one, len(self._ids)) for one in variants])
        if kinds <= {"full_attention"}:
            return _mask(whole)
        windowed = torch.stack([self._visible(one, config.sliding_window) for one in variants])
        return {"full_attention": _mask(whole), "sliding_attention": _mask(windowed)}

    def _visible(self, variant: Variant, window: int) -> Tensor:
        at = torch.arange(len(self._ids))
        visible = (at <= at[:, None]) & (at > at[:, None] - window)
        for keys, first_row in variant:
            visible[first_row:, list(keys)] = False
        visible.fill_diagonal_(True)
        return visible


def _mask(visible: Tensor) -> Tensor:
    return torch.zeros(visible.shape).masked_fill(~visible, -torch.inf)[:, None]
