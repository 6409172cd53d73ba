"""`attentropy.record`: record a model's attention during the caller's own passes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import torch
from transformers import PreTrainedModel

from attentropy.engine.arguments import Names, read_count
from attentropy.engine.attention.passes import PassWatch
from attentropy.engine.attention.plan import read_stats
from attentropy.engine.attention.recorder import Recorder, recording
from attentropy.engine.attention.visibility import Visibility
from attentropy.engine.errors import AttentropyError
from attentropy.engine.model.load import LoadedModel, check_tokenizer, source_of
from attentropy.engine.prompt.prepare import name_tokens
from attentropy.engine.provenance import describe_run, provenance
from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.statistics import DEFAULT_STATS
from attentropy.kernels.common.choice import Implementation


class Recording(Recorder):
    """What `record` yields: the attention that was recorded so far, one trace per sequence."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: Any,
        stats: tuple[str, ...],
        *,
        impl: Implementation | None,
        length: int | None,
    ) -> None:
        super().__init__(model, stats=stats, impl=impl, length=length)
        self.tokenizer = tokenizer
        self.passes = PassWatch(model)
        self.failure: str | None = None

    def on_attention(self, module: Any, tensors: Any, visibility: Visibility, *rest: Any) -> None:
        """Take one attention call; see `hook.Listener`."""
        self.passes.place(visibility, tensors[0].shape[0])
        super().on_attention(module, tensors, visibility, *rest)

    @property
    def traces(self) -> list[Trace]:
        """The trace of each sequence of the batch, its padding left out.

        Raises `AttentropyError` where nothing was recorded, or a pass failed.
        """
        if not self._recorded:
            raise AttentropyError(
                "nothing was recorded; run the model inside the with block of record()"
            )
        if self.failure is not None or self.passes.is_broken:
            why = self.failure or "a forward pass failed during the recording"
            raise AttentropyError(f"{why}; run it again in a new record()")
        return [self._trace(sequence) for sequence in range(len(self._recorded))]

    @property
    def trace(self) -> Trace:
        """The trace of the one sequence; raises `AttentropyError` as `traces`, and for several."""
        traces = self.traces
        if len(traces) > 1:
            raise AttentropyError(
                f"this batch has {len(traces)} sequences; use recorder.traces, one trace per "
                "sequence"
            )
        return traces[0]

    def _trace(self, sequence: int) -> Trace:
        recorded = self._recorded[sequence]
        text = name_tokens(self.tokenizer, self.passes.token_ids(sequence, recorded.tokens))
        names = [name for name in (*self.stats, "lse") if name in recorded.sink.names]
        attrs = provenance(self._described, text, text.notes, {"stats": names})
        return recorded.trace(self.model, text.coordinates(), attrs)

    @cached_property
    def _described(self) -> dict[str, Any]:
        """What is the same for all traces: model, tokenizer and versions."""
        name, commit = source_of(self.model)
        return describe_run(LoadedModel(self.model, self.tokenizer, name, commit))


@contextmanager
def record(
    model: PreTrainedModel,
    *,
    tokenizer: Any = None,
    stats: Names = DEFAULT_STATS,
    length: int | None = None,
    impl: Implementation | None = None,
) -> Iterator[Recording]:
    """Record the attention statistics of a model while it runs; its outputs stay the same.

    Gradients are off while the recording is open. One sequence can be recorded, or a batch padded
    on the left or on the right (with its `attention_mask`), from the first token on, in one pass
    or in several through the KV cache. `model.generate` works with greedy decoding and sampling;
    it records a row for each token that the model reads, so for all but the last one generated. A
    sequence that ends before the rest of its batch continues with padding tokens.

    Args:
        model: A transformers model in evaluation mode.
        tokenizer: Its tokenizer. The traces then have the tokens' texts and roles, in which
            special tokens are "template".
        stats: Attention statistics to record besides entropy: "max_prob", "distance", several of
            them ("max_prob,top_key" or a list), or "all".
        length: Number of tokens to come, including padding, if it is known. The exact attention
            weights at the end of a sequence that is read in several passes need it.
        impl: "triton", "portable" or "reference"; by default the fastest on the model's device.

    Yields:
        A recording. `recorder.trace` is the trace of the one sequence, `recorder.traces` has one
        trace per sequence of a batch. `trace["entropy"]` is [layer, head, query], in nats.

    Raises:
        AttentropyError: The model is in training mode, does not run its attention through
            transformers' attention interface, or passes arguments of unknown meaning to it; or
            passes do not follow each other (beam search, assisted decoding, a cropped cache).
            `recorder.trace` raises it if nothing was recorded or a pass failed.
        UsageError: An unknown statistic.

    Examples:
        >>> from attentropy import record
        >>> with record(model, tokenizer=tokenizer) as recorder:
        ...     output = model(**tokenizer("The capital of France", return_tensors="pt"))
        >>> trace = recorder.trace
        >>> trace["entropy"].shape == (8, 4, len(trace.tokens))  # layer, head, query
        True
    """
    if model.training:
        raise AttentropyError("the model is in training mode; call model.eval() before recording")
    if tokenizer is not None:
        check_tokenizer(tokenizer)
    names = tuple(name for name in read_stats(stats, DEFAULT_STATS) if name != "lse")
    length = None if length is None else read_count(length, "length")
    recorder = Recording(model, tokenizer, names, impl=impl, length=length)
    with torch.no_grad():
        try:
            with recording(model, recorder), recorder.passes.over():
                yield recorder
        except AttentropyError as error:
            recorder.failure = recorder.failure or str(error)
            raise
