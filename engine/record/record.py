"""`attentropy.record`: record a model's attention during the caller's own passes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from attentropy.engine.arguments import Names, read_count
from attentropy.engine.attention.plan import read_stats
from attentropy.engine.attention.supported import check_free, check_supported
from attentropy.engine.errors import AttentropyError
from attentropy.engine.lens.budget import read_sites
from attentropy.engine.model.inner import inner_model, text_model
from attentropy.engine.model.load import check_tokenizer
from attentropy.engine.record.lens import plan_recorded_lens
from attentropy.engine.record.recording import Recording
from attentropy.engine.trace.statistics import DEFAULT_STATS
from attentropy.engine.translator.file import TranslatorLike, read_with
from attentropy.kernels.common.implementations import Implementation


@contextmanager
def record(
    model: Any,
    *,
    tokenizer: Any = None,
    stats: Names = DEFAULT_STATS,
    lens: Names = "none",
    lens_translator: TranslatorLike | None = None,
    window: bool = False,
    length: int | None = None,
    impl: Implementation | None = None,
) -> Iterator[Recording]:
    """Record the attention statistics of a model while it runs; its outputs stay the same.

    Gradients are off while the recording is open. What is recorded are the sequences that the model
    reads: one after the other, or in batches padded on the left or on the right (with their
    `attention_mask`), each from its first token on, in one pass or in several through the KV cache.
    `model.generate` works with greedy decoding and sampling; it records a row for each token that
    the model reads, so for all but the last one generated, and these have the role "generated",
    or "reasoning" between markers such as <think> and </think>. A sequence that ends before the
    rest of its batch continues with padding tokens.

    Args:
        model: A transformers model in evaluation mode, also compiled or with adapters of peft. Of
            a model that also reads images, the part that reads tokens is recorded; tokens that
            stand for an image have the role "image".
        tokenizer: Its tokenizer. The traces then have the tokens' texts and roles, in which
            special tokens are "template".
        stats: Attention statistics to record besides entropy: "max_prob", "distance", several of
            them ("max_prob,top_key" or a list), or "all".
        lens: Where the logit lens reads each layer: "residual", "attention", "mlp", several of
            them, or "all". By default "none": the lens often takes longer than the model's own
            pass, and it keeps all layers' outputs until the pass ends.
        lens_translator: A translator of the model, NAME.lens.safetensors or what `fit_lens`
            returned. The lens reads the residuals a second time through it, as the site
            "translated"; `lens` must have "residual".
        window: Whether to keep exact attention weights, too: between all tokens of a sequence of
            up to 512, and between the last 64 of a longer one. They take a second sweep.
        length: Number of tokens to come, including padding, if it is known. The `window` of a
            sequence that is read in several passes needs it.
        impl: "triton", "portable" or "reference"; by default the fastest on the model's device.

    Yields:
        A recording. `recorder.trace` is the trace of the one sequence, `recorder.traces` has one
        trace per sequence. `trace["entropy"]` is [layer, head, query], in nats.

    Raises:
        AttentropyError: The model is in training mode, is being recorded already, does not run
            its attention through transformers' attention interface, or passes arguments of unknown
            meaning to it; it has an encoder and a decoder, or is not all in this process; or passes
            do not follow each other (beam search, assisted decoding, a cropped cache).
            `recorder.trace` raises it if nothing was recorded or a pass failed.
        UsageError: Something else than a transformers model, an unknown statistic, or a translator
            of another model.

    Examples:
        >>> from attentropy import record
        >>> with record(model, tokenizer=tokenizer) as recorder:
        ...     output = model(**tokenizer("The capital of France", return_tensors="pt"))
        >>> trace = recorder.trace
        >>> trace["entropy"].shape == (8, 4, len(trace.tokens))  # layer, head, query
        True
    """
    whole = inner_model(model)
    if whole.model.training:
        raise AttentropyError("the model is in training mode; call model.eval() before recording")
    if tokenizer is not None:
        check_tokenizer(tokenizer)
    names = tuple(name for name in read_stats(stats, DEFAULT_STATS) if name != "lse")
    sites = read_sites(lens, ())
    translator = read_with(lens_translator, sites)
    translate = None if translator is None else translator.lenses
    length = None if length is None else read_count(length, "length")
    check_supported(whole.model)
    check_free(whole.model)
    with torch.no_grad():
        recorded_lens, notes = plan_recorded_lens(
            whole.model, text_model(whole.model), sites, translate
        )
        if translator is not None:
            notes += translator.notes(whole.model)
        recorder = Recording(
            whole, tokenizer, names, impl=impl, length=length, window=window, lens=recorded_lens,
            lens_notes=notes, translator=translator,
        )  # fmt: skip
        with recorder.open():
            yield recorder
