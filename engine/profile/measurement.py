"""Measure the variants of a pass: recorded, with nothing recorded, and on PyTorch's attention."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable
from typing import Any

from torch import Tensor

from attentropy.engine.measure.clocks import Bytes, Seconds
from attentropy.engine.profile import torch_attention
from attentropy.engine.profile.passes import Passes
from attentropy.engine.profile.results import FUSED, OFF, RECORDING, Measurement, Pass
from attentropy.kernels.ops import AttentionResult, attention

# Called with the stage, and how many of how many steps are done.
Progress = Callable[[str, int, int], None]

_log = logging.getLogger(__name__)


def measure_variants(passes: Passes, repeat: int, progress: Progress) -> Measurement:
    """Warm up, measure memory in a pass of its own, then time the variants in turns."""
    attends: dict[str, Callable[..., AttentionResult]] = {RECORDING: attention, OFF: attention}
    clock, memory = Seconds(passes.device), Bytes(passes.device)
    backend = reason = None
    steps, done = repeat * 3 + 1, 0
    progress("warming up", 0, 1)
    for name in (RECORDING, OFF):
        passes.measure(clock, recording=name == RECORDING, chunks=2)
    try:
        backend = _fastest_backend(passes)
        attends[FUSED] = torch_attention.fused_attention(backend, passes.tokens)
        passes.measure(clock, recording=False, attend=attends[FUSED], chunks=2)
    except torch_attention.NotFused as error:
        reason = str(error)
        _log.info("not compared with PyTorch's fused attention: %s", reason)
        attends.pop(FUSED, None)
    gc.collect()
    progress("measuring memory", done, steps)
    memory_pass = passes.measure(memory, recording=True, keep_trace=True)
    timed: dict[str, list[Pass]] = {name: [] for name in attends}
    order = list(attends)
    for round_ in range(repeat):
        for name in order[round_ % len(order) :] + order[: round_ % len(order)]:
            done += 1
            progress(f"timing: {name}, {round_ + 1} of {repeat}", done, steps)
            timed[name].append(
                passes.measure(clock, recording=name == RECORDING, attend=attends[name])
            )
    return Measurement(
        passes=timed,
        memory_pass=memory_pass,
        clock=clock.clock,
        counter=memory.counter,
        backend=backend,
        reason=reason,
    )


def _fastest_backend(passes: Passes) -> str:
    """Return the faster of PyTorch's fused kernels for the model's own heads, from a short pass.

    Raises `NotFused` where none of them computes this model's attention.
    """
    shapes: list[tuple[int, int, int]] = []

    def check_call(q: Tensor, k: Tensor, v: Tensor, **options: Any) -> AttentionResult:
        torch_attention.check(q, v, passes.tokens, **options)
        shapes.append((q.shape[1], k.shape[1], q.shape[-1]))
        return attention(q, k, v, **options)

    passes.measure(Seconds(passes.device), recording=False, attend=check_call, chunks=1)
    heads, key_heads, size = max(shapes)
    return torch_attention.fastest(
        heads, key_heads, size, passes.run.chunk, passes.tokens, passes.device,
        passes.run.loaded.model.dtype,
    )  # fmt: skip
