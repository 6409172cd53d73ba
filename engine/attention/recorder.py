"""What is kept of attention in a forward pass: statistics and exact weights, call by call."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from attentropy.engine.attention.cache_watch import CacheWatch
from attentropy.engine.attention.calls import Call, Window
from attentropy.engine.attention.hook import Listener
from attentropy.engine.attention.selfcheck import (
    check_same_outputs,
    checked,
    listening,
    why_padding_is_refused,
)
from attentropy.engine.attention.statistics import DEFAULT_STATS
from attentropy.engine.attention.stream import Stream
from attentropy.engine.attention.visibility import Visibility
from attentropy.engine.attention.weights import exact_weights
from attentropy.engine.errors import AttentropyError
from attentropy.engine.maps.windows import WINDOW_TAIL, WINDOW_TOKENS, kept_per_head
from attentropy.engine.model.layers import layer_count, layer_of
from attentropy.engine.trace.dataset import Trace
from attentropy.kernels.common.choice import Implementation
from attentropy.kernels.ops import AttentionResult


class Recorder(Listener):
    """Collects the sequences of one batch; `traces` is what was recorded of each so far.

    After a forward pass `calls` holds the attention calls in order. With a `stream` the values of
    the one sequence go there as they are made, and none stay here.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        stats: tuple[str, ...],
        impl: Implementation | None,
        length: int | None,
        stream: Stream | None = None,
    ) -> None:
        self.model = model
        self.stats = stats
        self.impl = impl
        self.length = length
        self.calls: dict[tuple[int, int], Call] = {}
        self.has_unchecked_padding = False
        self._padding_is_checked = False
        self.sequences: int | None = None
        self._called: dict[int, int] = defaultdict(int)
        self._window_per_head: dict[int, bool] = {}
        self.stream = stream
        if stream is not None and stream.start:
            self.calls = {key: stream.begun(*key) for key in stream.kept.calls}

    def stats_of(self, module: nn.Module) -> tuple[str, ...]:
        """Those of the recorder; none in a layer that is not to be recorded."""
        if self.stream is None or layer_of(self.model, module) in self.stream.kept.layers:
            return self.stats
        return ()

    def heard(
        self,
        module: nn.Module,
        tensors: tuple[Tensor, Tensor, Tensor],
        seen: Visibility,
        score: dict[str, Any],
        result: AttentionResult,
    ) -> None:
        """Keep one attention call's statistics; see `attention_hook.Listener`."""
        batch = result.lse.shape[0]
        if self.sequences not in (None, batch):
            raise AttentropyError(
                f"a pass over {batch} sequences follows one over {self.sequences}; use one "
                "record() per batch"
            )
        starts, stops = seen.tokens(batch)
        end = seen.position + seen.queries
        padded = bool((starts > seen.position).any() or (stops < end).any())
        self.has_unchecked_padding |= padded and not self._padding_is_checked
        self.sequences = batch
        layer = layer_of(self.model, module)
        if seen.position == 0:
            index = self._called[layer]
            if index and self.calls[layer, index - 1].rows != seen.queries:
                raise AttentropyError(
                    "a pass begins another sequence, or the same one anew; use one record() per "
                    "sequence, and a cache where it goes on"
                )
            self._called[layer] += 1
            call = self.calls[layer, index] = Call(layer, index, module)
        else:
            call = self._continued(layer, seen.position)
        call.follow(seen, batch)
        if self.stream is not None:
            self.stream.heard(call, tensors, seen, score, result)
            return
        for name in (*self.stats, "lse", "sink_prob"):
            value = getattr(result, name, None)
            if value is None:
                continue
            value = value.cpu()
            if name == "top_key":  # a position in the sequence, not in the cache
                first = (starts - seen.first_key).to(value.dtype)[:, None, None]
                value = torch.where(value >= 0, value - first, value)
            call.stats[name].append(value.numpy())
        call.visible.append(seen.counts(batch).to(torch.int32).numpy())
        if end == (self.length or seen.queries) and not seen.first_key:
            for sequence in range(batch):
                self._keep_window(call, sequence, tensors, seen, score, result)

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

    def _continued(self, layer: int, position: int) -> Call:
        calls = [call for (at, _), call in self.calls.items() if at == layer]
        for call in calls:
            if call.rows == position:
                return call
        if calls:
            raise AttentropyError(
                f"a pass begins at token {position} where {max(call.rows for call in calls)} are "
                "recorded; its passes must follow each other, in one record() per sequence"
            )
        raise AttentropyError(
            "recording began in the middle of a sequence; start with an empty cache"
        )

    def _keep_window(
        self,
        call: Call,
        sequence: int,
        tensors: tuple[Tensor, Tensor, Tensor],
        seen: Visibility,
        score: dict[str, Any],
        result: AttentionResult,
    ) -> None:
        """Exact weights: of the whole prompt where it is short, of the tail's own square else."""
        start, stop = int(call.start[sequence]), int(call.stop[sequence])
        whole = stop - start <= WINDOW_TOKENS
        first = start if whole else max(seen.position, stop - WINDOW_TAIL)
        if not seen.position <= first < stop:  # rows of an earlier pass, or no token in this one
            return
        one = slice(sequence, sequence + 1)
        query, key, lse = tensors[0][one], tensors[1][one], result.lse[one]
        rows, span = (first - seen.query_offset, stop - seen.query_offset), (first, stop)
        where = score | seen.of(sequence).arguments()
        if sequence not in self._window_per_head:  # all layers alike, by the first of them
            layers = layer_count(self.model) or len(self.calls)
            values = layers * query.shape[1] * (stop - first) ** 2
            self._window_per_head[sequence] = kept_per_head(values)
        per_head = self._window_per_head[sequence]
        weights, shares = exact_weights(
            query, key, lse, rows, span, where, per_head=per_head, shares=True
        )
        call.windows[sequence] = Window(stop - start, weights, shares)

    @property
    def traces(self) -> list[Trace]:
        """The attention statistics of each sequence of the batch, its padding left out.

        Token texts are the ids' numbers until named.
        """
        from attentropy.engine.attention.assemble import attention_trace

        return [attention_trace(self, sequence=i) for i in range(self.sequences or 0)]

    @property
    def trace(self) -> Trace:
        """The one sequence's trace, as `traces` has it; raises `AttentropyError` for several."""
        from attentropy.engine.attention.assemble import attention_trace

        if self.sequences is not None and self.sequences > 1:
            raise AttentropyError(
                f"this batch holds {self.sequences} sequences; use recorder.traces, one trace each"
            )
        return attention_trace(self)


@contextmanager
def record(
    model: PreTrainedModel,
    *,
    stats: tuple[str, ...] = DEFAULT_STATS,
    impl: Implementation | None = None,
    length: int | None = None,
    stream: Stream | None = None,
) -> Iterator[Recorder]:
    """While open, every attention call of `model` is recorded; its outputs stay what they were.

    `model` is a transformers model in evaluation mode; one sequence, or a batch of them padded on
    the left or on the right (with its `attention_mask`), from the first token on, in one or
    several passes through the cache. `model.generate` decodes greedily or samples: a row for each
    token that the model reads, so for all but the last one generated; a sequence that ends before
    its batch goes on with the padding tokens that it is fed. `stats` as in
    `attentropy.attention`; `length` is the number of tokens to come, padding among them, where it
    is known; with a `stream` the values go there instead of into the recorder. On exit the model's
    own attention is back. The first time that a model is given, `check_same_outputs` runs it over a
    short probe.

    Raises `AttentropyError` where the model does not run its attention through transformers'
    attention interface, or does so with arguments whose meaning is unknown; and where passes do
    not follow each other, as in beam search, assisted decoding and after a cut of the cache.
    """
    if model.training:
        raise AttentropyError("the model is in training mode; call model.eval() before recording")
    facts = checked(model)
    recorder = Recorder(model, stats=tuple(stats), impl=impl, length=length, stream=stream)
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
            f"layer {layer} of {type(model).__name__} made no attention call in this pass, and "
            "made one over a shorter text; its entropies would be missing"
        )


__all__ = ["DEFAULT_STATS", "Call", "Recorder", "check_same_outputs", "record"]
