"""One pass over a prompt, measured: recorded as `extract` records it, or with nothing recorded."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from attentropy.engine.attention.hook import Listener
from attentropy.engine.attention.kept import Attention, entries_of_layers
from attentropy.engine.attention.recorder import Recorder
from attentropy.engine.attention.selfcheck import checked, listening
from attentropy.engine.attention.visibility import Visibility
from attentropy.engine.errors import AttentropyError
from attentropy.engine.lens.arrays import LensArrays
from attentropy.engine.lens.plan import Reading
from attentropy.engine.maps.sweeps import Sweeps
from attentropy.engine.measure.clocks import peak_bytes
from attentropy.engine.measure.gauge import Gauge
from attentropy.engine.model.load import LoadedModel
from attentropy.engine.profile.parts import Parts, attending, watched
from attentropy.engine.profile.results import Pass
from attentropy.engine.prompt.prepare import Prompt
from attentropy.engine.run import prefill
from attentropy.engine.run.answer import vocabulary_arrays
from attentropy.engine.run.job import Job
from attentropy.engine.run.passes import Run, computed
from attentropy.engine.trace.partial import Partial
from attentropy.kernels.ops import AttentionResult, attention

_TOP_K = 5


@dataclass(frozen=True)
class Passes:
    """What all passes have in common. ids [1, N] are those of `text`; `sweeps` keeps no sums, so
    that every pass may have it; `folder` holds what is recorded; `attrs` are the trace's."""

    loaded: LoadedModel
    text: Prompt
    ids: Tensor
    chunk: int
    parts: Parts
    stats: tuple[str, ...]
    kept: Attention
    sweeps: Sweeps
    reading: Reading | None
    folder: Path
    attrs: dict[str, Any]

    @property
    def device(self) -> torch.device:
        """Of the model's input."""
        return self.ids.device

    @property
    def chunks(self) -> list[tuple[int, int]]:
        """(start, stop) of each."""
        return prefill.bounds(self.ids.shape[1], self.chunk)

    def through(
        self,
        gauge: Gauge,
        *,
        recording: bool,
        attend: Callable[..., AttentionResult] = attention,
        weighed: bool = False,
        chunks: int | None = None,
    ) -> Pass:
        """One pass over the first `chunks`, by default all, with an empty cache.

        Recorded, it goes into a folder as it is made, and ends once all of it is there. Of the one
        that is `weighed` the trace stays, and the kernel's work is counted.
        """
        spans = self.chunks[:chunks]
        model: Any = self.loaded.model
        made = Pass()
        with ExitStack() as stack:
            stack.enter_context(torch.no_grad())
            if self.device.type == "cuda":
                stack.enter_context(torch.cuda.device(self.device))
            job = self._begun(gauge, stack) if recording else None
            start = peak_bytes(self.device.type, reset=True)
            recorder = None
            if job is not None:
                recorder = stack.enter_context(job.run.recording(job.sink))
            heard = _Heard(gauge, recorder, counts=weighed)
            built = checked(model).masks_built
            stack.enter_context(listening(model, heard, masks_built=built))
            stack.enter_context(attending(gauge, attend))
            stack.enter_context(watched(self.parts, gauge))
            cache: Any = None
            for index, (first, last) in enumerate(spans):
                begun = time.perf_counter()
                with gauge.within("rest"):
                    if job is None:
                        output = prefill.read(model, self.ids, first, last, cache)
                    else:
                        output = job.run.read_chunk(job.sink, job.partial, index, cache)
                    cache = getattr(output, "past_key_values", None)
                    if job is not None and index == len(spans) - 1:
                        with gauge.within("writing"):
                            job.sink.flush()
                gauge.wait()
                made.seconds.append(time.perf_counter() - begun)
                made.chunks.append(gauge.read())
                if cache is None and last < spans[-1][1]:
                    raise AttentropyError(
                        f"{type(model).__name__} keeps no cache, so it reads the prompt in "
                        f"one pass: --chunk {self.ids.shape[1]}"
                    )
            made.peak_bytes = max(0, peak_bytes(self.device.type) - start)
            if job is not None and weighed:
                lens = job.run.lens
                named = vocabulary_arrays(lens.vocabulary) if lens is not None else {}
                made.trace = job.finish(named, {})
        made.kernel_flops = heard.flops
        return made

    def _begun(self, gauge: Gauge, stack: ExitStack) -> Job:
        """A job as `extract` begins one, its folder there and its writer waiting; when `stack`
        closes, both are gone."""
        lens = None
        if self.reading is not None:
            entries = entries_of_layers(self.kept)
            lens = LensArrays(self.reading, self.text, self.loaded.tokenizer, entries, _TOP_K)
        run = Run(
            loaded=self.loaded, text=self.text, ids=self.ids, chunk=self.chunk, step=self.chunk,
            asked=self.chunk, stats=computed(self.stats), kept=self.kept, sweeps=self.sweeps,
            lens=lens, storage="float32", keep_cache=False, tell=lambda *what: None, gauge=gauge,
        )  # fmt: skip
        partial = Partial(self.folder / "trace.zarr", temporary=True)
        stack.callback(partial.discard)
        job = stack.enter_context(Job(run, partial, self.attrs, {}, None))
        job.begin()
        return job


class _Heard(Listener):
    """Hears the calls of a pass: hands them to the recorder, if there is one."""

    impl = None

    def __init__(self, gauge: Gauge, recorder: Recorder | None, *, counts: bool) -> None:
        self.stats = recorder.stats if recorder is not None else ()
        self.gauge, self.recorder, self.counts = gauge, recorder, counts
        self.flops = 0.0

    def heard(
        self,
        module: nn.Module,
        tensors: tuple[Tensor, Tensor, Tensor],
        seen: Visibility,
        score: dict[str, Any],
        result: AttentionResult,
    ) -> None:
        """See `attention_hook.Listener`."""
        if self.recorder is not None:
            with self.gauge.within("writing"):
                self.recorder.heard(module, tensors, seen, score, result)
        if self.counts:  # two products for each pair of query and key
            query, _, value = tensors
            sizes = query.shape[1] * (query.shape[-1] + value.shape[-1])
            self.flops += 2.0 * sizes * int(seen.counts(query.shape[0]).sum())
