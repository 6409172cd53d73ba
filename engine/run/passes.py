"""One run, from the prompt's first chunk to its last: recorded, read, written, committed.

A run with a folder beside its target (see `partial`) may be cut off at any moment and gone on with;
one without keeps its arrays in memory. Nothing else differs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from attentropy.engine.attention.kept import Attention, attention
from attentropy.engine.attention.recorder import Recorder, record
from attentropy.engine.attention.stream import Stream
from attentropy.engine.lens.arrays import LensArrays
from attentropy.engine.maps.sweeps import Sweeps
from attentropy.engine.measure.gauge import Gauge
from attentropy.engine.model.load import LoadedModel
from attentropy.engine.prompt.prepare import Prompt
from attentropy.engine.run import prefill
from attentropy.engine.trace import store
from attentropy.engine.trace.layout import Field, field
from attentropy.engine.trace.partial import Partial
from attentropy.engine.trace.sinks import Sink


def computed(names: Sequence[str]) -> tuple[str, ...]:
    """Of the statistics to keep those that are asked of `attention`, which gives lse unasked."""
    return tuple(name for name in names if name != "lse")


def probed(
    loaded: LoadedModel, probe: Tensor, tokens: int, names: Sequence[str],
    layers: str | None = None, heads: str = "all",
) -> tuple[Attention, list[str]]:  # fmt: skip
    """What is kept of a prompt of `tokens` tokens, and what to say of it: `layout.attention` after
    a short pass over `probe` [1, n]."""
    with torch.no_grad(), record(loaded.model, stats=computed(names)) as short:
        loaded.model(probe, use_cache=False)
    return attention(short, tokens, names, layers, heads)


@dataclass
class Run:
    """What is done, decided before the first token.

    ids [1, N]; `chunk` tokens a pass, `step` in a stored chunk; `asked` is what they were made of.
    `stats` are computed, `kept` says what stays of them. `keep_cache`: the keys and values of each
    chunk go beside its commit. `gauge` is told of lens and writing.
    """

    loaded: LoadedModel
    text: Prompt
    ids: Tensor
    chunk: int
    step: int
    asked: int
    stats: tuple[str, ...]
    kept: Attention
    sweeps: Sweeps
    lens: LensArrays | None
    storage: str
    keep_cache: bool
    tell: Callable[[str, int, int], None]
    gauge: Gauge

    @property
    def passes(self) -> list[tuple[int, int]]:
        """First token and end of each."""
        return prefill.bounds(self.ids.shape[1], self.chunk)

    @property
    def coords(self) -> dict[str, tuple[str, np.ndarray]]:
        """All coordinates that are known before the first pass."""
        found = {**self.text.coordinates(), **self.kept.coords(), **self.sweeps.coordinates()}
        return found | (self.lens.coords() if self.lens is not None else {})

    @property
    def fields(self) -> dict[str, Field]:
        """The arrays that grow."""
        found = self.kept.fields(self.step, self.storage)
        tall = 1 if self.sweeps.tile is None else self.sweeps.tile[0]
        for name, (dims, shape) in self.sweeps.layout().items():
            found[name] = field(name, dims, shape, self.step, self.storage, tall)
        if self.lens is not None:
            found |= self.lens.fields(len(self.kept.entries), self.step, self.storage)
        return found

    def begin(self, folder: Any, attrs: Mapping[str, Any]) -> None:
        """A store at `folder` that has all of it but the values."""
        group = store.begin(folder, attrs)
        for name, (dim, values) in self.coords.items():
            store.add(group, name, (dim,), values)
        for name, made in self.fields.items():
            store.create(group, name, made.dims, made.shape, made.dtype, made.chunks, made.fill)

    def read(self, sink: Sink, partial: Partial | None) -> Any:
        """All that is not read yet; returns the output of the last pass.

        What an earlier run left in `partial` is taken in first: its chunks go through the model
        once more, unrecorded, or their keys and values are loaded.
        """
        passes = self.passes
        done, output = 0, None
        if partial is not None and (done := -(-partial.progress().done // self.chunk)):
            output = self._again(sink, partial, passes[:done])
        if done == len(passes):
            return output
        cache = getattr(output, "past_key_values", None)
        with self.recording(sink, passes[done][0]):
            for index in range(done, len(passes)):
                self.tell("reading the prompt", passes[index][0], self.ids.shape[1])
                output = self.read_chunk(sink, partial, index, cache)
                cache = getattr(output, "past_key_values", None)
        self.tell("reading the prompt", self.ids.shape[1], self.ids.shape[1])
        return output

    def recording(self, sink: Sink, start: int = 0) -> AbstractContextManager[Recorder]:
        """While open, what attention gives from token `start` on goes to `sink`, which has the
        arrays."""
        stream = Stream(self.kept, sink, self.sweeps, start=start)
        return record(self.loaded.model, stats=self.stats, length=self.ids.shape[1], stream=stream)

    def read_chunk(self, sink: Sink, partial: Partial | None, index: int, cache: Any) -> Any:
        """The output of one of the `passes`, made while `recording`: its lens is read, and its
        commit follows its values."""
        start, stop = self.passes[index]
        last = index == len(self.passes) - 1
        output, tensors, facts = self._pass(sink, start, stop, cache, len(self.passes))
        if partial is not None:
            with self.gauge.within("writing"):
                self._commit(sink, partial, index, output, tensors, facts, last)
        return output

    def _pass(
        self, sink: Sink, start: int, stop: int, cache: Any, passes: int
    ) -> tuple[Any, dict[str, Tensor], dict[str, str]]:
        lens = self.lens
        if lens is None or not lens.reading.within(start, stop):
            return prefill.read(self.loaded.model, self.ids, start, stop, cache), {}, {}
        with lens.reading.kept(start, stop) as states:
            output = prefill.read(self.loaded.model, self.ids, start, stop, cache)
        count = len(lens.reading.sites) * len(lens.reading.layers)

        def tell(layer: int) -> None:
            if passes == 1:
                self.tell("reading the lens", layer, count)

        tensors, facts = lens.read(sink, states, start, stop, self.gauge, tell)
        return output, tensors, facts

    def _commit(
        self,
        sink: Sink,
        partial: Partial,
        index: int,
        output: Any,
        tensors: dict[str, Tensor],
        facts: dict[str, str],
        last: bool,
    ) -> None:
        """Once the chunk's values are written, write what makes it finished."""
        start, stop = self.passes[index]
        sums = {name: torch.from_numpy(np.array(v)) for name, v in self.sweeps.state().items()}
        cached = prefill.saved(output.past_key_values, start, stop) if self.keep_cache else {}
        if last:
            tensors = tensors | {"logits": output.logits[:, -1:].cpu()}

        def commit() -> None:
            if sums:
                partial.keep("sweeps", index, sums)
            if cached:
                partial.keep("cache", index, cached)
            partial.commit(index, tensors, facts | {"errors": json.dumps(sink.errors)})

        held = (*sums.values(), *cached.values(), *tensors.values())
        sink.then(commit, sum(part.nbytes for part in held))

    def _again(self, sink: Sink, partial: Partial, passes: list[tuple[int, int]]) -> Any:
        """Take in the chunks that are finished; the output that the last of them gave."""
        tensors: dict[str, Tensor] = {}
        for index, (start, _) in enumerate(passes):
            tensors, facts = partial.committed(index)
            sink.errors |= json.loads(facts.get("errors", "{}"))
            if self.lens is not None:
                self.lens.restore(tensors, facts, start)
        sums = partial.kept("sweeps", len(passes) - 1) if self.sweeps.state() else {}
        self.sweeps.restore({name: values.numpy() for name, values in sums.items()})
        if self.keep_cache and partial.has_cache(len(passes)):
            parts = [partial.kept("cache", index) for index in range(len(passes))]
            cache = prefill.restored(self.loaded.model, parts)
            logits = tensors.get("logits")
            logits = None if logits is None else logits.to(self.ids.device)
            return SimpleNamespace(past_key_values=cache, logits=logits)
        output, cache = None, None
        with prefill.unrecorded(self.loaded.model, self.stats, self.kept.layers):
            for start, stop in passes:
                self.tell("reading again what is recorded", start, self.ids.shape[1])
                output = prefill.read(self.loaded.model, self.ids, start, stop, cache)
                cache = getattr(output, "past_key_values", None)
        return output
