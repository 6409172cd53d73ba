"""Passes through the hook that nothing is kept of: they give what recorded ones do."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from attentropy.engine.attention.hook import Listener
from attentropy.engine.attention.listening import listening
from attentropy.engine.attention.selfcheck import check_model
from attentropy.engine.errors import NoAttention
from attentropy.engine.model.layers import layer_of


class Ignored(Listener):
    """A listener that keeps nothing: the passes are those of a recording, but not recorded.

    stats: what the attention of `layers` (of all, where that is None) computes all the same, so
    that the implementation is the one that recorded the same passes, to the last bit.
    """

    impl = None

    def __init__(
        self, model: PreTrainedModel, stats: tuple[str, ...] = (), layers: Any = None
    ) -> None:
        self.model, self.stats, self.layers = model, stats, layers

    def stats_of(self, module: nn.Module) -> tuple[str, ...]:
        """Return the statistics of the layers that were recorded."""
        was_recorded = self.layers is None or layer_of(self.model, module) in self.layers
        return self.stats if was_recorded else ()

    def on_attention(self, *call: Any) -> None:
        """Keep nothing."""


def without_recording(
    model: PreTrainedModel, stats: tuple[str, ...] = (), layers: Any = None
) -> Any:
    """Let passes give what recorded ones do while this is open; see `Ignored`."""
    ignored = Ignored(model, stats, layers)
    try:
        check_model(model)
    except NoAttention:
        return nullcontext()
    return listening(model, ignored, masks_built=check_model(model).masks_built)
