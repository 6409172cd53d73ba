"""Carry a run out in its place: begin or continue it, name what stops it, complete its trace."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any

import numpy as np
import xarray as xr

from attentropy.engine import failures
from attentropy.engine.attention.layout import lay_out
from attentropy.engine.cost import memory as cost
from attentropy.engine.cost.size import RunSize
from attentropy.engine.errors import AttentropyError, RunStopped, Terminated, strip_paths
from attentropy.engine.lens.placebo import PlaceboStates
from attentropy.engine.measure.gauge import Gauge
from attentropy.engine.model.devices import free_bytes
from attentropy.engine.model.weights import weights_sha256
from attentropy.engine.run.answer import Arrays, padded
from attentropy.engine.run.answering import Answering
from attentropy.engine.run.decode import Token
from attentropy.engine.run.options import Progress
from attentropy.engine.run.plan import RunPlan
from attentropy.engine.run.prefill import bytes_of_pass, size_of
from attentropy.engine.run.reader import PromptReader
from attentropy.engine.run.resuming import check_same
from attentropy.engine.trace import store
from attentropy.engine.trace.checks.ranges import unchecked_reads
from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.partial import ANY_WORK, PartialTrace
from attentropy.engine.trace.schema import FORMAT, FORMAT_VERSION
from attentropy.engine.trace.sinks import QUEUE_BYTES, FolderSink, MemorySink, Sink
from attentropy.engine.trace.sources import GROUP, as_sources, stored_sources
from attentropy.engine.trace.text import count
from attentropy.kernels.choice import same_on_cpu


class Job:
    """A run that is under way: `answer` and `finish` do it while this is open.

    It leaves the trace in its place, or a folder next to it that `resume` continues. partial: that
    folder, None for a run in memory. earlier: what the folder says of the run that it holds, empty
    for a new one. `show` is called with the progress; `gauge` measures lens and writing.
    """

    def __init__(
        self,
        plan: RunPlan,
        partial: PartialTrace | None,
        earlier: Mapping[str, Any],
        show: Progress = lambda stage, done, total: None,
        gauge: Gauge | None = None,
    ) -> None:
        self.plan = plan
        self.attrs = {
            **plan.attrs,
            **({"answer": ""} if plan.is_causal else {}),
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
        }
        self._partial = partial
        self._earlier = earlier
        self._has_begun = False  # the partial folder is this run's own
        self._cache: Any = None  # keys and values of prompt and answer, once there is an answer
        sink = MemorySink(plan.tokens + min(plan.room, plan.block))
        self._reader = PromptReader(plan, sink, partial, show, gauge or Gauge())
        self._free = free_bytes(plan.ids.device)
        self._same = same_on_cpu(plan.attrs["implementation"])

    def __enter__(self) -> Job:
        self._same.__enter__()
        return self

    @property
    def _sink(self) -> Sink:
        return self._reader.sink

    def answer(self) -> list[Token]:
        """Begin, read the prompt and answer it; all of both is recorded then."""
        self.begin()
        answering = Answering(self._reader)
        answering.read()
        self._cache = answering.cache
        self.attrs["notes"] = [*self.attrs["notes"], *answering.notes]
        return self._reader.answer

    def take_cache(self) -> Any:
        """Return the keys and values of prompt and answer, which the run itself needs no more."""
        cache, self._cache = self._cache, None
        return cache

    def read(self) -> None:
        """Begin, and read the prompt alone: the model has no answer."""
        self.begin()
        self._reader.read()

    def begin(self) -> None:
        """Make the sink, with all of the trace in it but its values."""
        partial, plan = self._partial, self.plan
        if partial is not None:
            facts = self._facts()
            if self._earlier:
                check_same(partial, self._earlier, facts)
                partial.stopped(None)
            else:
                partial.begin(facts, lambda folder: plan.create_store(folder, self.attrs))
            self._has_begun = True
            limit = QUEUE_BYTES
            if plan.memory is not None:  # a quarter of it may wait to be written
                limit = max(1, min(QUEUE_BYTES, plan.memory // 4))
            self._reader.sink = FolderSink(partial.trace, limit)
        for name, field in plan.fields.items():
            self._sink.create(name, field)

    def recording(self) -> AbstractContextManager[Any]:
        """Record the attention calls of the chunks that are read while this is open."""
        return self._reader.recording()

    def read_chunk(self, index: int, cache: Any) -> Any:
        """Return the output of the plan's pass `index`; see `PromptReader.read_chunk`."""
        return self._reader.read_chunk(index, cache)

    def rehearse(self, answer: Sequence[int], placebo: PlaceboStates | None = None) -> None:
        """Look for the tokens of the answer in the residuals that the lens kept."""
        if self.plan.lens is not None:
            self.plan.lens.rehearse(self._sink, answer, self.plan.step, placebo)

    def flush(self) -> None:
        """Wait until every value is written."""
        self._sink.flush()

    def finish(
        self, arrays: Arrays, attrs: Mapping[str, Any], sources: xr.Dataset | None = None
    ) -> Trace:
        """Return the complete trace, with the last `arrays` and `attrs`, and its sources, added.

        arrays: name → (dimensions, values).
        """
        self._sink.flush()
        plan, tokens = self.plan, self._reader.ids.shape[1]
        arrays = {**arrays, **padded(plan.sweeps.finished(), tokens)}
        if plan.room:
            arrays["query"] = ("query", np.arange(tokens, dtype=np.int32))
        attrs = {**self.attrs, **attrs}
        attrs["notes"] = [*attrs["notes"], *self._reader.notes()]
        if self._sink.errors:
            attrs["storage_error"] = dict(sorted(self._sink.errors.items()))
        if self._partial is None:
            return Trace(self._in_memory(arrays, attrs).dataset, sources)
        store.remove_groups(self._partial.trace)
        group = store.open_group(self._partial.trace)
        for name, field in plan.fields.items():
            store.shorten_array(group, name, field.of_tokens(tokens))
        for name, (dims, values) in arrays.items():
            store.write_array(group, name, (dims,) if isinstance(dims, str) else dims, values)
        store.complete_group(group, self._partial.trace, attrs)
        if sources is not None:
            store.write_group(stored_sources(as_sources(sources)), self._partial.trace / GROUP)
        self._sink.close()
        self._partial.finish()
        with unchecked_reads():  # its values are this run's
            return Trace.open(self._partial.target, max_cells=ANY_WORK)

    def _in_memory(self, arrays: Arrays, attrs: Mapping[str, Any]) -> Trace:
        assert isinstance(self._sink, MemorySink)
        self._sink.shorten(self._reader.ids.shape[1])
        grown = {
            name: (field.dims, self._sink.arrays[name]) for name, field in self.plan.fields.items()
        }
        own_attrs = {name: value for name, value in attrs.items() if "format" not in name}
        return lay_out(grown, {**self.plan.coords, **arrays}, own_attrs)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._same.__exit__(kind, error, trace)
        self._sink.close()
        if error is None:
            return
        why = failures.reason(error)
        remainder = ""
        if (
            self._partial is not None
            and self._has_begun
            and not self._partial.temporary
            and self._partial.exists()
        ):
            message = " ".join(f"{type(error).__name__}: {error}".split())
            self._partial.stopped(why or strip_paths(message)[:200])
            remainder = f"{self._partial.folder.name} has {self._partial.progress().counts}"
        resumable = f"{remainder}; use `resume=True` to continue" if remainder else ""
        if isinstance(error, KeyboardInterrupt):
            raise KeyboardInterrupt(resumable) from None
        if isinstance(error, Terminated):
            raise Terminated(error.number, resumable) from None
        if isinstance(error, AttentropyError) or why is None:
            return
        if isinstance(error, OSError) and self._partial is None:
            return  # nothing of ours was written
        if failures.out_of_memory(error):
            advice = self._fitting()
            again = " (start over with `force=True`)" if remainder else ""
            raise RunStopped(
                f"{why} with chunks of {count(self.plan.chunk, 'token')}; {advice}{again}",
                remainder,
            )
        if isinstance(error, OSError):
            why = f"cannot write the output: {failures.line(error, named=False)}"
        raise RunStopped(why, resumable) from error

    def _facts(self) -> dict[str, Any]:
        """Return what distinguishes this run from others, and how long it is."""
        ids = self.plan.ids.cpu().numpy()
        model = self.attrs["model"]
        return {
            "model": {name: model[name] for name in model if name != "weights_sha256"},
            "weights": weights_sha256(self.plan.loaded.model),
            "tokenizer": self.attrs["tokenizer"],
            "prompt": self.attrs["prompt"] | {"ids": hashlib.sha256(ids.tobytes()).hexdigest()},
            "tokens": self.plan.tokens,
            "options": self.attrs["options"],
            "chunk": self.plan.chunk,
            "asked": self.plan.requested_chunk,
            "keep_cache": self.plan.keep_cache,
            "implementation": self.attrs["implementation"],
            "versions": self.attrs["versions"],
        }

    def _fitting(self) -> str:
        """Return what needs less memory: a smaller chunk, or the option that changes least."""
        run, model = self.plan, self.plan.loaded.model
        lens = run.lens.reading if run.lens is not None else None
        size_of_run = RunSize(
            tokens=run.ids.shape[1],
            itemsize=model.dtype.itemsize,
            positions=len(lens.positions) if lens is not None else 0,
            sites=len(lens.sites) if lens is not None else 1,
            on_cpu=run.ids.device.type == "cpu",
            answer=run.room,
        )
        size = size_of(model)
        if size is None:
            return "try a smaller `chunk`, a shorter prompt or another `device`"
        needed = cost.memory_bytes(size, size_of_run)
        free = self._free if self._free is not None else 0
        states = lens.bytes_per_token() if lens is not None else 0
        chunk = run.chunk // 2
        while chunk > 1 and needed["cache_bytes"] + bytes_of_pass(model, chunk, states) > free:
            chunk //= 2
        fits = [f"`chunk={chunk}`"] if chunk and run.step == run.chunk else []
        for option, other in cost.alternatives(size, size_of_run).items():
            if cost.memory_bytes(size, other)["peak_bytes"] <= free + needed["weights_bytes"]:
                fits.append(option)
        if not fits:
            return "try a shorter prompt or another `device`"
        return f"try {' or '.join(fits[:2])}"
