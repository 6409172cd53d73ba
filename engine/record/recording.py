"""What `record` yields: the attention, tokens and lens of the sequences that a model read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cached_property
from typing import Any

from attentropy.engine.attention.batch import Batch
from attentropy.engine.attention.finite import not_finite_from
from attentropy.engine.attention.plan import AttentionPlan, first_entries
from attentropy.engine.attention.recorded import RecordedSequence
from attentropy.engine.attention.recorder import Recorder, recording
from attentropy.engine.attention.visibility import Visibility
from attentropy.engine.errors import AttentropyError
from attentropy.engine.lens.budget import TRANSLATED
from attentropy.engine.model.inner import InnerModel, text_model
from attentropy.engine.model.load import LoadedModel, source_of
from attentropy.engine.prompt.prepare import Prompt, name_tokens
from attentropy.engine.provenance import describe_run, provenance
from attentropy.engine.record.generation import GenerationWatch
from attentropy.engine.record.lens import LensRows, RecordedLens, lens_arrays
from attentropy.engine.record.token_ids import TokenIds, image_ids
from attentropy.engine.trace.dataset import Trace
from attentropy.engine.translator.translator import Translator
from attentropy.kernels.common.implementations import Implementation


class Recording(Recorder):
    """The sequences that were recorded so far, with one trace for each.

    whole: the caller's model, of which the part that reads tokens is recorded. lens: what is read
    besides attention, also through `translator`; notes on it are in `lens_notes`.
    """

    def __init__(
        self,
        whole: InnerModel,
        tokenizer: Any,
        stats: tuple[str, ...],
        *,
        impl: Implementation | None,
        length: int | None,
        window: bool = False,
        lens: RecordedLens | None = None,
        lens_notes: list[str] | None = None,
        translator: Translator | None = None,
    ) -> None:
        around = (*whole.around, whole.model, whole.model.base_model)
        super().__init__(
            text_model(whole.model), stats=stats, impl=impl, length=length, around=around,
            window=window,
        )  # fmt: skip
        self.whole = whole
        self.tokenizer = tokenizer
        self.lens = lens
        self.lens_notes = lens_notes or []
        self.translator = translator
        self.generations = GenerationWatch()
        self.failure: str | None = None
        self._ids: list[TokenIds] = []  # by batch
        self._lens_rows: list[list[LensRows]] = []  # by batch and sequence

    @contextmanager
    def open(self) -> Iterator[None]:
        """Record while this is open; raises as `recording` does."""
        try:
            with ExitStack() as stack:
                stack.enter_context(recording(self.model, self))
                stack.enter_context(self.generations.over(self.whole.model))
                if self.lens is not None:
                    stack.enter_context(self.lens.over())
                yield
                self._flush()
        except AttentropyError as error:
            self.failure = self.failure or str(error)
            raise

    def begin_pass(self, visibility: Visibility, size: int) -> None:
        """Take the place and the ids of a pass; see `Recorder.begin_pass`."""
        if self.generations.has_begun and not visibility.position:
            raise AttentropyError(
                "this pass starts a new sequence, or the same one again; use one record() per "
                "sequence, and the KV cache to continue a sequence (use_cache=True)"
            )
        super().begin_pass(visibility, size)
        if len(self._ids) < len(self.batches):
            self._ids.append(TokenIds())
            self._lens_rows.append([LensRows() for _ in range(size)])
        self._ids[-1].add(self.passes.ids, visibility, size)
        if self.generations.has_begun is not None:
            self.generations.has_begun = True
        self.generations.batch = len(self.batches) - 1
        self.generations.rows = visibility.end

    def end_pass(self, output: Any, inner: Any) -> None:
        """Check the pass that has ended, and hand it to the lens; see `Recorder.end_pass`."""
        super().end_pass(output, inner)
        if self.lens is None or output is None or self._latest_pass != self.passes.number:
            return
        batch = self.batches[-1]
        assert batch.place is not None
        self.lens.take(batch.spans(), batch.place.queries, self._lens_rows[-1])

    @property
    def traces(self) -> list[Trace]:
        """The trace of each sequence in the order in which they were read, padding left out.

        Raises `AttentropyError` where nothing was recorded, or a pass failed.
        """
        if not self.batches:
            raise AttentropyError(
                "nothing was recorded; run the model inside the with block of record()"
            )
        if self.failure is not None or self.has_failed or self.passes.is_open:
            why = self.failure or "a forward pass failed during the recording"
            raise AttentropyError(f"{why}; run it again in a new record()")
        self._flush()
        return [
            self._trace(number, sequence)
            for number, batch in enumerate(self.batches)
            for sequence in range(batch.size)
        ]

    @property
    def trace(self) -> Trace:
        """The trace of the one sequence; raises `AttentropyError` as `traces`, and for several."""
        sequences = sum(batch.size for batch in self.batches)
        if sequences > 1:
            which = "this batch has" if len(self.batches) == 1 else "this recording has"
            raise AttentropyError(
                f"{which} {sequences} sequences; use recorder.traces, one trace per sequence"
            )
        return self.traces[0]

    def _flush(self) -> None:
        if self.lens is not None:
            self.lens.flush()

    def _trace(self, number: int, sequence: int) -> Trace:
        batch = self.batches[number]
        recorded = batch.streams[sequence]
        assert isinstance(recorded, RecordedSequence)
        text = self._text(number, sequence, recorded.tokens)
        names = [name for name in (*self.stats, "lse") if name in recorded.sink.names]
        options: dict[str, Any] = {"stats": names}
        if self.lens is not None:
            options["lens"] = [site for site in self.lens.sites if site != TRANSLATED]
            if self.translator is not None:
                options["lens_translator"] = self.translator.facts_for_trace()
        notes = [*self.whole.notes, *text.notes, *self.lens_notes]
        first = self.first_not_finite(number, sequence)
        if first is not None:
            notes.append(not_finite_from(first))
        start = _first_row(batch, sequence)
        prompt = text.first(self.generations.prompt_tokens(number, start, len(text.ids)))
        attrs = provenance(self._described, prompt, notes, options)
        plan = recorded.plan_of_calls(self.model)
        more = self._lens_arrays(plan, number, sequence)
        return recorded.trace(plan, text.coordinates(), attrs, more)

    def _text(self, number: int, sequence: int, tokens: int) -> Prompt:
        """Return the tokens of one sequence, with the roles of images and generated ones."""
        text = name_tokens(self.tokenizer, self._ids[number].of(sequence, tokens))
        images = image_ids(self.whole.model.config)
        roles = [
            "image" if token in images else role
            for token, role in zip(text.ids, text.roles, strict=True)
        ]
        start = _first_row(self.batches[number], sequence)
        text = replace(text, roles=roles)
        return replace(text, roles=self.generations.roles(number, start, text))

    def _lens_arrays(self, plan: AttentionPlan, number: int, sequence: int) -> dict[str, Any]:
        rows = self._lens_rows[number][sequence]
        if self.lens is None or not rows.values:
            return {}
        layers = {entry: layer for layer, entry in first_entries(plan).items()}
        entries = [layers.get(entry) for entry in range(len(plan.entries))]
        return dict(lens_arrays(self.lens.sites, rows, entries, self.tokenizer))

    @cached_property
    def _described(self) -> dict[str, Any]:
        """What is the same for all traces: model, tokenizer and versions."""
        model = self.whole.model
        name, commit = source_of(model)
        return describe_run(LoadedModel(model, self.tokenizer, name, commit))


def _first_row(batch: Batch, sequence: int) -> int:
    """Return the row of the padded batch at which a sequence's tokens start."""
    return next((int(call.start[sequence]) for call in batch.calls.values()), 0)
