"""Read a prompt chunk by chunk: recorded, seen through the lens, written, committed.

A run with a folder next to its target (see `partial`) may be cut off at any moment and continued;
one without keeps its arrays in memory. Nothing else differs.
"""

from __future__ import annotations

import json
from contextlib import AbstractContextManager, nullcontext
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from attentropy.engine.attention.finite import not_finite_from
from attentropy.engine.attention.ignored import without_recording
from attentropy.engine.attention.recorder import Recorder, recording
from attentropy.engine.attention.stream import Stream
from attentropy.engine.errors import TraceError
from attentropy.engine.measure.gauge import Gauge
from attentropy.engine.model.cache import cache_of
from attentropy.engine.prompt.reasoning import answer_roles
from attentropy.engine.prompt.tokens import vocabulary_text
from attentropy.engine.run import prefill
from attentropy.engine.run.answer import answer_fact, parts_of_answer, read_answer_fact
from attentropy.engine.run.decode import Token
from attentropy.engine.run.options import Progress
from attentropy.engine.run.plan import RunPlan
from attentropy.engine.trace.checks.json_text import parse_json
from attentropy.engine.trace.checks.unreadable import UNREADABLE, reason
from attentropy.engine.trace.finished_chunks import ANSWER
from attentropy.engine.trace.partial import PartialTrace
from attentropy.engine.trace.sinks import Sink

# What a chunk's commit holds besides its values: tensors and facts, each by name.
CommitParts = tuple[dict[str, Tensor], dict[str, str]]


class PromptReader:
    """Reads the prompt of a `plan` into `sink`, which has the arrays.

    partial: takes each chunk's commit, None for a run in memory. `show` is called with the
    progress, and `gauge` measures lens and writing.
    """

    def __init__(
        self, plan: RunPlan, sink: Sink, partial: PartialTrace | None, show: Progress, gauge: Gauge
    ) -> None:
        self.plan = plan
        self.sink = sink
        self.partial = partial
        self.show = show
        self.gauge = gauge
        self.not_finite: int | None = None  # the first token whose outputs are not finite
        self._recorder: Recorder | None = None
        self.ids = plan.ids  # of the tokens that are known so far, [1, n]
        self.passes = plan.passes
        self.texts = list(plan.text.tokens)  # of the same tokens
        self.answer: list[Token] = []

    @property
    def finished(self) -> int:
        """How many passes an earlier run finished."""
        return 0 if self.partial is None else self.partial.progress().commits

    def read(self) -> Any:
        """Read what is not read yet, and return the output of the last pass.

        What an earlier run left in `partial` is taken in first, its part of the answer too: its
        chunks go through the model once more, unrecorded, or their keys and values are loaded.
        """
        plan, output = self.plan, None
        done = self.finished
        if done:
            output = self._restore(done)
        passes = self.passes
        if done == len(passes):
            return output
        cache = cache_of(output)
        with self.recording(passes[done][0]):
            for index in range(done, len(passes)):
                self.show("reading the prompt", passes[index][0], plan.tokens)
                output = self.read_chunk(index, cache)
                cache = cache_of(output)
        self.show("reading the prompt", plan.tokens, plan.tokens)
        return output

    def add_pass(self, answer: list[Token]) -> tuple[int, int]:
        """Add a pass over the next tokens of the answer, and return its start and stop."""
        start = self.ids.shape[1]
        new = [token.id for token in answer]
        self.ids = torch.cat([self.ids, torch.tensor([new], device=self.ids.device)], 1)
        self.texts += vocabulary_text(self.plan.loaded.tokenizer, new)
        self.answer += answer
        self.passes = [*self.passes, (start, self.ids.shape[1])]
        return self.passes[-1]

    def recording(self, start: int = 0) -> AbstractContextManager[Any]:
        """Record the attention calls of the passes from token `start` on while this is open."""
        plan = self.plan
        if not plan.records_attention:
            return nullcontext()
        stream = Stream(plan.attention, self.sink, plan.sweeps, start=start)
        model = plan.loaded.model
        self._recorder = Recorder(model, stats=plan.stats, length=plan.tokens, stream=stream)
        return recording(model, self._recorder)

    def notes(self) -> list[str]:
        """Return what a reader of the trace has to know of the passes."""
        return [] if self.not_finite is None else [not_finite_from(self.not_finite)]

    def read_chunk(self, index: int, cache: Any) -> Any:
        """Return the output of one of the plan's passes, made while `recording`.

        Its lens is read, and its commit follows its values.
        """
        start, stop = self.passes[index]
        output, parts = self._run_pass(start, stop, cache)
        if self.not_finite is None and self._recorder is not None:
            self.not_finite = self._recorder.first_not_finite()
        if self.partial is not None:
            with self.gauge.within("writing"):
                self._commit(self.partial, index, output, parts)
        return output

    def _run_pass(self, start: int, stop: int, cache: Any) -> tuple[Any, CommitParts]:
        """Return the model's output, and what a continued run needs of the lens."""
        plan, lens, logprobs = self.plan, self.plan.lens, self.plan.token_logprobs
        if lens is not None and not lens.reading.positions_within(start, stop):
            lens = None
        with (
            nullcontext({}) if lens is None else lens.reading.capture(start, stop) as states,
            nullcontext({}) if logprobs is None else logprobs.capture() as last_states,
        ):
            output = prefill.read_chunk(plan.loaded.model, self.ids, start, stop, cache)
        tensors: dict[str, Tensor] = {}
        if logprobs is not None:
            with self.gauge.within("lens"):
                tensors = logprobs.read(self.sink, last_states, self.ids[0, start:stop], start)
        if lens is None:
            return output, (tensors, {})
        count = len(lens.reading.sites) * len(lens.reading.layers)

        def show_layer(layer: int) -> None:
            if len(self.passes) == 1:
                self.show("computing the lens", layer, count)

        lens_tensors, facts = lens.read(self.sink, states, start, stop, self.gauge, show_layer)
        return output, (tensors | lens_tensors, facts)

    def _commit(self, partial: PartialTrace, index: int, output: Any, parts: CommitParts) -> None:
        """Write what makes the chunk a finished one, once its values are written."""
        plan, sink, (tensors, facts) = self.plan, self.sink, parts
        start, stop = self.passes[index]
        sums = {name: torch.from_numpy(np.array(v)) for name, v in plan.sweeps.state().items()}
        cached = prefill.cache_tensors(cache_of(output), start, stop) if plan.keep_cache else {}
        if stop >= plan.tokens:
            tensors = tensors | {"logits": output.logits[:, -1:].cpu()}
            here = self.answer[max(0, start - plan.tokens) : stop - plan.tokens]
            facts = facts | ({ANSWER: self._answer_fact(here, stop)} if here else {})

        not_finite = json.dumps(self.not_finite)

        def commit() -> None:
            if sums:
                partial.write_state("sweeps", index, sums)
            if cached:
                partial.write_state("cache", index, cached)
            more = {"errors": json.dumps(sink.errors), "not_finite": not_finite}
            partial.commit(index, tensors, facts | more)

        waiting = (*sums.values(), *cached.values(), *tensors.values())
        sink.then(commit, sum(part.nbytes for part in waiting))

    def _answer_fact(self, tokens: list[Token], stop: int) -> str:
        """Return what the commit of a pass that ends at `stop` keeps of the answer's `tokens`."""
        ids, texts, count = self.ids[0, :stop].tolist(), self.texts[:stop], len(tokens)
        roles = answer_roles(parts_of_answer(self.plan.loaded, ids, texts, self.plan.tokens))
        return answer_fact(tokens, texts[-count:], roles[-count:])

    def _restore(self, done: int) -> Any:
        """Take in the chunks that are finished; return the output that the last of them gave.

        Raises `TraceError` where they are not what this run writes.
        """
        plan, partial = self.plan, self.partial
        assert partial is not None
        try:
            logits = self._take_in(partial, done)
            passes = self.passes[:done]
            if plan.keep_cache and partial.has_cache(len(passes)):
                parts = [partial.read_state("cache", index) for index in range(len(passes))]
                cache = prefill.restore_cache(plan.loaded.model, parts, passes[-1][1])
                return SimpleNamespace(cache=cache, logits=logits)
        except UNREADABLE as error:
            raise TraceError(
                f"{partial.folder.name}: what it has of the finished chunks does not fit this run "
                f"({reason(error)[:80]}); start over with `force=True`"
            ) from error
        return self._read_again(passes)

    @property
    def _entries(self) -> int:
        """The number of entries of the vocabulary."""
        return int(self.plan.loaded.model.get_input_embeddings().weight.shape[0])

    def _take_in(self, partial: PartialTrace, done: int) -> Tensor | None:
        """Take in what the commits hold; return the last one's logits, if it has them."""
        plan = self.plan
        tensors: dict[str, Tensor] = {}
        for index in range(done):
            tensors, facts = partial.read_commit(index)
            answer = read_answer_fact(facts)
            if any(not 0 <= token.id < self._entries for token in answer):
                raise ValueError("a token of the answer is not in the vocabulary")
            if index >= len(plan.passes):
                self.add_pass(answer)
            elif answer:  # prompt and answer were read in one pass
                self.add_pass(answer)
                self.passes = [(0, self.ids.shape[1])]
            start = self.passes[index][0]
            self.sink.errors |= _numbers(parse_json(facts.get("errors", "{}"), finite=False))
            self.not_finite = _count_or_none(parse_json(facts.get("not_finite", "null")))
            if plan.lens is not None:
                plan.lens.restore(tensors, facts, start)
            if plan.token_logprobs is not None:
                plan.token_logprobs.restore(tensors, plan.ids.device)
        if expected := plan.sweeps.state():
            sums = {n: v.numpy() for n, v in partial.read_state("sweeps", done - 1).items()}
            for name, own in expected.items():
                if sums[name].shape != own.shape or sums[name].dtype != own.dtype:
                    raise ValueError(f"the sums of {name} have another shape")
            plan.sweeps.restore(sums)
        logits = tensors.get("logits")
        return None if logits is None else logits.to(plan.ids.device)

    def _read_again(self, passes: list[tuple[int, int]]) -> Any:
        """Read finished chunks without recording them, for the cache that they leave."""
        plan = self.plan
        output, cache = None, None
        with without_recording(plan.loaded.model, plan.stats, plan.attention.layers):
            for start, stop in passes:
                self.show("reading the finished chunks again", start, plan.tokens)
                output = prefill.read_chunk(plan.loaded.model, self.ids, start, stop, cache)
                cache = cache_of(output)
        return output


def _numbers(value: Any) -> dict[str, float]:
    """Return rounding errors by variable, as a commit keeps them."""
    return {str(name): float(error) for name, error in value.items()}


def _count_or_none(value: Any) -> int | None:
    if value is not None and (type(value) is not int or value < 0):
        raise ValueError("not a position")
    return value
