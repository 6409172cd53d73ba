"""Record a model's attention while it runs: every call is checked and goes to its streams."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from torch import Tensor, nn
from transformers import PreTrainedModel

from attentropy.engine.attention.cache_watch import CacheWatch
from attentropy.engine.attention.calls import Call
from attentropy.engine.attention.growing import Growing
from attentropy.engine.attention.hook import Listener
from attentropy.engine.attention.listening import listening
from attentropy.engine.attention.plan import plan_attention
from attentropy.engine.attention.recorded import RecordedSequence
from attentropy.engine.attention.selfcheck import (
    check_model,
    check_same_outputs,
    why_padding_is_refused,
)
from attentropy.engine.attention.stream import Stream, split_batch
from attentropy.engine.attention.tail_window import TailWindow
from attentropy.engine.attention.visibility import Visibility
from attentropy.engine.errors import AttentropyError
from attentropy.engine.model.layers import layer_count, layer_of
from attentropy.kernels.common.choice import Implementation
from attentropy.kernels.ops import AttentionResult


class Recorder(Listener):
    """Follows the sequences of one batch.

    After a forward pass `calls` has the attention calls in order. Every sequence has a stream of
    its own, into memory; with a `stream` the values of the one sequence go there.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        stats: tuple[str, ...],
        impl: Implementation | None = None,
        length: int | None = None,
        stream: Stream | None = None,
    ) -> None:
        self.model = model
        self.stats = stats
        self.impl = impl
        self.length = length
        self.calls: dict[tuple[int, int], Call] = {}
        self.sequences: int | None = None
        self.has_unchecked_padding = False
        self.stream = stream
        self._recorded: list[RecordedSequence] = []
        self._called: dict[int, int] = defaultdict(int)
        self._padding_is_checked = False
        if stream is not None and stream.start:  # the rows before it are there already
            stop = np.full(1, stream.start, np.int64)
            self.calls = {
                key: Call(*key, rows=stream.start, stop=stop) for key in stream.plan.calls
            }

    def stats_of(self, module: nn.Module) -> tuple[str, ...]:
        """Return the recorder's statistics; none in a layer that is not to be recorded."""
        if self.stream is None or self.stream.records(layer_of(self.model, module)):
            return self.stats
        return ()

    def on_attention(
        self,
        module: nn.Module,
        tensors: tuple[Tensor, Tensor, Tensor],
        visibility: Visibility,
        score: dict[str, Any],
        result: AttentionResult,
    ) -> None:
        """Check that a call continues what is recorded, and hand it on; see `hook.Listener`."""
        batch = result.lse.shape[0]
        if self.sequences not in (None, batch):
            raise AttentropyError(
                f"the batch size changed from {self.sequences} to {batch} between two passes; use "
                "one "
                "record() per batch"
            )
        starts, stops = visibility.tokens(batch)
        is_padded = (starts > visibility.position).any() or (stops < visibility.end).any()
        self.has_unchecked_padding |= bool(is_padded) and not self._padding_is_checked
        self.sequences = batch
        layer = layer_of(self.model, module)
        call = self._call(layer, module, visibility)
        call.follow(visibility, batch)
        if self.stream is not None and not self.stream.records(layer):
            return
        if self.stream is not None and batch > 1:
            raise AttentropyError(
                "only one sequence can be recorded here; record one prompt at a time"
            )
        streams = self._streams(batch)
        parts = split_batch(tensors, visibility, score, result, streams[0].plan.names)
        for stream, part in zip(streams, parts, strict=True):
            stream.on_attention(layer, call.index, part)

    def _streams(self, batch: int) -> Sequence[Stream]:
        """Return the stream of each sequence; those into memory begin with the first call."""
        if self.stream is not None:
            return [self.stream]
        if not self._recorded:
            self._recorded = [self._new_sequence() for _ in range(batch)]
        return self._recorded

    def _new_sequence(self) -> RecordedSequence:
        plan, _ = plan_attention(self.model, 0, (*self.stats, "lse"), None, "all")
        layers = layer_count(self.model) or len(plan.calls)
        return RecordedSequence(plan, Growing(), TailWindow(layers, self.length))

    def _call(self, layer: int, module: nn.Module, visibility: Visibility) -> Call:
        """Return the call that this pass continues, or a new one where it begins a sequence."""
        if visibility.position:
            return self._continued(layer, visibility.position)
        index = self._called[layer]
        if index and self.calls[layer, index - 1].rows != visibility.queries:
            raise AttentropyError(
                "this pass starts a new sequence, or the same one again; use one record() per "
                "sequence, and the KV cache to continue a sequence"
            )
        self._called[layer] += 1
        call = self.calls[layer, index] = Call(layer, index, module)
        return call

    def _continued(self, layer: int, position: int) -> Call:
        calls = [call for (at, _), call in self.calls.items() if at == layer]
        for call in calls:
            if call.rows == position:
                return call
        if calls:
            raise AttentropyError(
                f"this pass starts at token {position}, but {max(call.rows for call in calls)} "
                "tokens are "
                "recorded; passes must be consecutive, with one record() per sequence"
            )
        raise AttentropyError(
            "the recording started in the middle of a sequence; start with an empty KV cache"
        )

    def values(self, name: str, layer: int, index: int = 0, sequence: int = 0) -> np.ndarray:
        """Return one statistic of one attention call of one sequence, [heads, tokens]."""
        return self._recorded[sequence].values(name, layer, index)

    def check_padding(self, own_attention: str) -> None:
        """Raise `AttentropyError` where padding that was met would change the tokens' outputs.

        own_attention: the name of the model's own attention. The first padding that is met of a
        model makes two short passes, so that this is called when no other pass is under way.
        """
        if not self.has_unchecked_padding:
            return
        self.has_unchecked_padding = False
        self._padding_is_checked = True
        if (refusal := why_padding_is_refused(self.model, own_attention)) is not None:
            raise AttentropyError(refusal)


@contextmanager
def recording(model: PreTrainedModel, recorder: Recorder) -> Iterator[Recorder]:
    """Tell `recorder`, which is yielded, of every attention call of `model` while this is open.

    The model's outputs stay what they were, and on exit its own attention is back. The first time
    that a model is given, `check_same_outputs` runs it over a short probe.

    Raises `AttentropyError` where the model does not run its attention through transformers'
    attention interface, or does so with arguments whose meaning is unknown; and where passes do
    not follow each other, as in beam search, assisted decoding and after a cut of the cache.
    """
    facts = check_model(model)
    own_attention, caches = model.config._attn_implementation, CacheWatch()

    def check_padding(*_: Any) -> None:
        with caches.paused():
            recorder.check_padding(own_attention)

    handle = model.register_forward_hook(check_padding)
    try:
        with caches.over(model), listening(model, recorder, masks_built=facts.masks_built):
            yield recorder
            check_padding()  # of passes that the model's base made
    finally:
        handle.remove()
    if missing := facts.calls - set(recorder.calls) if recorder.calls else set():
        layer = min(missing)[0]
        raise AttentropyError(
            f"layer {layer} of {type(model).__name__} made no attention call in this pass, "
            "although it did for a shorter text; its entropies would be missing"
        )


__all__ = ["Call", "Recorder", "check_same_outputs", "recording"]
