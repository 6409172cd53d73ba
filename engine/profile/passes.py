"""One pass over a prompt, measured: recorded as `extract` records it, or with nothing recorded."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from attentropy.engine.attention.hook import Listener
from attentropy.engine.attention.recorder import Recorder
from attentropy.engine.attention.selfcheck import check_model, listening
from attentropy.engine.attention.visibility import Visibility
from attentropy.engine.errors import AttentropyError
from attentropy.engine.measure.clocks import peak_bytes
from attentropy.engine.measure.gauge import Gauge
from attentropy.engine.model.cache import cache_of
from attentropy.engine.profile.parts import Parts, measure_attention, measure_parts
from attentropy.engine.profile.recorded_run import OpenRun, RecordedRun
from attentropy.engine.profile.results import Pass
from attentropy.kernels.ops import AttentionResult, attention


@dataclass(frozen=True)
class Passes:
    """The passes over one prompt, and the parts in which each of them is measured."""

    run: RecordedRun
    parts: Parts

    @property
    def device(self) -> torch.device:
        """The device of the model's input."""
        return self.run.ids.device

    @property
    def tokens(self) -> int:
        """Tokens of the prompt."""
        return self.run.ids.shape[1]

    def measure(
        self,
        gauge: Gauge,
        *,
        recording: bool,
        attend: Callable[..., AttentionResult] = attention,
        keep_trace: bool = False,
        chunks: int | None = None,
    ) -> Pass:
        """Measure one pass over the first `chunks`, by default all, with an empty cache.

        A recorded pass writes into a folder as it goes, and ends once all of it is there. With
        `keep_trace` its trace stays, and the kernel's work is counted.
        """
        spans = self.run.chunks[:chunks]
        result = Pass()
        with ExitStack() as stack:
            stack.enter_context(torch.no_grad())
            if self.device.type == "cuda":
                stack.enter_context(torch.cuda.device(self.device))
            open_run = stack.enter_context(self.run.begin(gauge)) if recording else None
            start = peak_bytes(self.device.type, reset=True)
            recorder = None
            if open_run is not None:
                recorder = stack.enter_context(open_run.recording())
            listener = _PassListener(gauge, recorder, counts=keep_trace)
            model = self.run.loaded.model
            masks_built = check_model(model).masks_built
            stack.enter_context(listening(model, listener, masks_built=masks_built))
            stack.enter_context(measure_attention(gauge, attend))
            stack.enter_context(measure_parts(self.parts, gauge))
            self._read(spans, open_run, gauge, result)
            result.peak_bytes = max(0, peak_bytes(self.device.type) - start)
            if open_run is not None and keep_trace:
                result.trace = open_run.finish()
        result.kernel_flops = listener.flops
        return result

    def _read(
        self, spans: list[tuple[int, int]], open_run: OpenRun | None, gauge: Gauge, result: Pass
    ) -> None:
        """Read the chunks through the cache, and add what each of them took to `result`."""
        cache: Any = None
        for index, (first, last) in enumerate(spans):
            start = time.perf_counter()
            with gauge.within("rest"):
                if open_run is None:
                    output = self.run.read_unrecorded(first, last, cache)
                else:
                    output = open_run.read_chunk(index, cache)
                cache = cache_of(output)
                if open_run is not None and index == len(spans) - 1:
                    with gauge.within("writing"):
                        open_run.flush()
            gauge.wait()
            result.seconds.append(time.perf_counter() - start)
            result.chunks.append(gauge.read())
            if cache is None and last < spans[-1][1]:
                raise AttentropyError(
                    f"{type(self.run.loaded.model).__name__} has no KV cache, so it must read the "
                    f"prompt in one pass; use `chunk={self.tokens}`"
                )


class _PassListener(Listener):
    """Listens to the attention calls of a pass, and hands them to the recorder if there is one."""

    impl = None

    def __init__(self, gauge: Gauge, recorder: Recorder | None, *, counts: bool) -> None:
        self.stats = recorder.stats if recorder is not None else ()
        self.gauge, self.recorder, self.counts = gauge, recorder, counts
        self.flops = 0.0

    def on_attention(
        self,
        module: nn.Module,
        tensors: tuple[Tensor, Tensor, Tensor],
        visibility: Visibility,
        score: dict[str, Any],
        result: AttentionResult,
    ) -> None:
        """Pass a call on as "writing", and count its work; see `attention_hook.Listener`."""
        if self.recorder is not None:
            with self.gauge.within("writing"):
                self.recorder.on_attention(module, tensors, visibility, score, result)
        if self.counts:  # two products for each pair of query and key
            query, _, value = tensors
            sizes = query.shape[1] * (query.shape[-1] + value.shape[-1])
            self.flops += 2.0 * sizes * int(visibility.counts(query.shape[0]).sum())
