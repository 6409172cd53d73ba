"""Record a model's attention while it runs: every call is checked and goes to its streams."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from torch import Tensor, nn
from transformers import PreTrainedModel

from attentropy.engine.attention.batch import Batch
from attentropy.engine.attention.cache_watch import CacheWatch
from attentropy.engine.attention.calls import Call
from attentropy.engine.attention.finite import rows_of_output
from attentropy.engine.attention.growing import Growing
from attentropy.engine.attention.hook import Listener
from attentropy.engine.attention.listening import listening
from attentropy.engine.attention.passes import PassWatch
from attentropy.engine.attention.plan import plan_attention
from attentropy.engine.attention.recorded import RecordedSequence
from attentropy.engine.attention.selfcheck import (
    check_model,
    check_same_outputs,
    why_padding_is_refused,
)
from attentropy.engine.attention.stream import Stream, split_batch
from attentropy.engine.attention.supported import check_free, check_supported
from attentropy.engine.attention.tail_window import TailWindow
from attentropy.engine.attention.visibility import Visibility
from attentropy.engine.errors import AttentropyError
from attentropy.engine.model.layers import layer_count, layer_of
from attentropy.kernels.common.implementations import Implementation
from attentropy.kernels.ops import AttentionResult


class Recorder(Listener):
    """Follows the sequences that a model reads, batch after batch.

    Every sequence has a stream of its own, into memory; with a `stream` there is one sequence,
    whose values go there. around: modules by which a pass of the model may begin, see `PassWatch`.
    window: whether sequences without a given stream keep exact weights, see `TailWindow`.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        stats: tuple[str, ...],
        impl: Implementation | None = None,
        length: int | None = None,
        stream: Stream | None = None,
        around: Iterable[nn.Module] = (),
        window: bool = False,
    ) -> None:
        self.model = model
        self.window = window
        self.stats = stats
        self.impl = impl
        self.length = length
        self.stream = stream
        self.passes = PassWatch(model, around)
        self.batches: list[Batch] = []
        self.has_failed = False
        self._latest_pass = 0  # the number of the pass that the latest call belongs to
        self._has_unchecked_padding = False
        self._padding_is_checked = False
        if stream is not None and stream.start:  # the rows before it are there already
            stop = np.full(1, stream.start, np.int64)
            calls = {key: Call(*key, rows=stream.start, stop=stop) for key in stream.plan.calls}
            self.batches.append(Batch(1, [stream], calls))

    @property
    def calls(self) -> dict[tuple[int, int], Call]:
        """The attention calls of the latest batch in order."""
        return self.batches[-1].calls if self.batches else {}

    def first_not_finite(self, batch: int = -1, sequence: int = 0) -> int | None:
        """Return a sequence's first token at which the model's own outputs are not finite."""
        return self.batches[batch].not_finite.get(sequence) if self.batches else None

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
        if not self.passes.is_open:
            raise AttentropyError(
                "a part of the model ran outside of a pass of the model; call the recorded model "
                "itself: model(...), not model.forward(...)"
            )
        size = result.lse.shape[0]
        if self._latest_pass != self.passes.number:
            self._latest_pass = self.passes.number
            self.begin_pass(visibility, size)
        batch = self.batches[-1]
        if batch.size != size:
            raise AttentropyError(
                f"the batch size changed from {batch.size} to {size} between two passes; use one "
                "record() per batch"
            )
        if not self._padding_is_checked:
            self._has_unchecked_padding |= visibility.is_padded(size)
        layer = layer_of(self.model, module)
        call = batch.follow(layer, module, visibility)
        batch.take_scores(result.lse)
        if self.stream is not None and not self.stream.records(layer):
            return
        parts = split_batch(tensors, visibility, score, result, batch.streams[0].plan.names)
        for stream, (part, statistics) in zip(batch.streams, parts, strict=True):
            stream.on_attention(layer, call.index, part, statistics)

    def begin_pass(self, visibility: Visibility, size: int) -> None:
        """Take the place of a pass under way, of `size` sequences, which it continues or starts."""
        if not visibility.position:
            if self.batches and self.stream is not None:
                raise AttentropyError(
                    "this pass starts a new sequence, or the same one again; record one prompt at "
                    "a time, and use the KV cache to continue it"
                )
            self.batches.append(self._new_batch(size))
        elif not self.batches:
            raise AttentropyError(
                "the recording started in the middle of a sequence; start with an empty KV cache"
            )
        self.batches[-1].begin_pass(visibility)

    def _new_batch(self, size: int) -> Batch:
        if self.stream is not None:
            if size > 1:
                raise AttentropyError(
                    "only one sequence can be recorded here; record one prompt at a time"
                )
            return Batch(1, [self.stream], None)
        return Batch(size, [self._new_sequence() for _ in range(size)], None)

    def _new_sequence(self) -> RecordedSequence:
        plan, _ = plan_attention(self.model, 0, (*self.stats, "lse"), None, "all")
        layers = layer_count(self.model) or len(plan.calls)
        window = TailWindow(layers, self.length) if self.window else None
        return RecordedSequence(plan, Growing(), window)

    def end_pass(self, output: Any, inner: Any) -> None:
        """Check the pass that has ended; see `PassWatch.over`.

        Raises `AttentropyError` where a layer made no attention call, although it made one before.
        """
        if self._latest_pass != self.passes.number:  # it had no attention
            return
        if output is None:
            self.has_failed = True
            return
        batch = self.batches[-1]
        if (missing := batch.missing_call(check_model(self.model).calls)) is not None:
            raise AttentropyError(
                f"layer {missing[0]} of {type(self.model).__name__} made no attention call in this "
                "pass, although it did for a shorter text; its entropies would be missing"
            )
        assert batch.place is not None
        parts = (rows_of_output(part, batch.place.queries) for part in (output, inner))
        batch.note_finite([rows for rows in parts if rows is not None and len(rows) == batch.size])

    def values(self, name: str, layer: int, index: int = 0, sequence: int = 0) -> np.ndarray:
        """Return one statistic of one call of a sequence of the latest batch, [heads, tokens]."""
        stream = self.batches[-1].streams[sequence]
        assert isinstance(stream, RecordedSequence)
        return stream.values(name, layer, index)

    def check_padding(self, own_attention: str) -> None:
        """Raise `AttentropyError` where padding that was met would change the tokens' outputs.

        own_attention: the name of the model's own attention. The first padding that is met of a
        model makes two short passes, so that this is called when no other pass is under way.
        """
        if not self._has_unchecked_padding:
            return
        self._has_unchecked_padding = False
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
    own_attention, caches = model.config._attn_implementation, CacheWatch()
    check_free(model)
    check_supported(model)
    facts = check_model(model)

    def end_pass(output: Any, inner: Any) -> None:
        recorder.end_pass(output, inner)
        if output is not None:
            with caches.paused():
                recorder.check_padding(own_attention)

    with (
        caches.over(recorder.passes.callers),
        recorder.passes.over(end_pass),
        listening(model, recorder, masks_built=facts.masks_built),
    ):
        yield recorder


__all__ = ["Call", "Recorder", "check_same_outputs", "recording"]
