"""What a profile's passes found, laid out as the trace's arrays and as totals, ratios and rates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from statistics import median
from typing import Any

import numpy as np

from attentropy.engine.measure import machine
from attentropy.engine.measure.gauge import Key
from attentropy.engine.model.devices import input_device
from attentropy.engine.model.load import LoadedModel
from attentropy.engine.profile.parts import OUTSIDE, PARTS, Parts
from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.text import text_array

RECORDING, OFF, FUSED = "recording", "off", "fused"
_PROFILE = ("chunk", "layer", "part")


@dataclass
class Pass:
    """One pass over the prompt: by chunk what each part took, and the outer clock's seconds.

    `peak_bytes` is the highest beyond what was taken before; `trace` has what was recorded, where
    that stays; `kernel_flops` is 0 if uncounted.
    """

    chunks: list[dict[Key, float]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    peak_bytes: int = 0
    trace: Trace | None = None
    kernel_flops: float = 0.0

    @property
    def whole(self) -> float:
        """Seconds by the outer clock."""
        return sum(self.seconds)

    @property
    def of_parts(self) -> float:
        """Seconds of all parts."""
        return sum(sum(chunk.values()) for chunk in self.chunks)

    def part(self, *names: str) -> float:
        """Seconds of these parts over all layers and chunks."""
        return sum(v for chunk in self.chunks for (_, part), v in chunk.items() if part in names)

    def has(self, name: str) -> bool:
        """Whether there is such a part."""
        return any(part == name for chunk in self.chunks for _, part in chunk)


@dataclass(frozen=True)
class Measured:
    """Timed passes by variant, and the recorded one in which memory was measured instead.

    `backend` is PyTorch's fused kernel, `reason` why there is none; `clock` and `counter` are what
    measured time and memory.
    """

    passes: dict[str, list[Pass]]
    weighed: Pass
    clock: str
    counter: str | None
    backend: str | None
    reason: str | None

    @property
    def shown(self) -> Pass:
        """The recorded pass whose time is the median (the lower of two)."""
        ordered = sorted(self.passes[RECORDING], key=lambda one: one.whole)
        return ordered[(len(ordered) - 1) // 2]


def laid_out(
    measured: Measured,
    chunks: Sequence[tuple[int, int]],
    parts: Parts,
    loaded: LoadedModel,
    stats: Sequence[str],
    sites: Sequence[str],
) -> Trace:
    """The trace of what was recorded, with its profile."""
    trace = measured.weighed.trace
    assert trace is not None
    device = input_device(loaded.model).type
    dtype = str(loaded.model.dtype).removeprefix("torch.")
    ceilings = machine.ceilings(device, dtype)
    profile = totals(measured, parts, chunks[-1][1], loaded) | {
        "chunk": chunks[0][1],
        "stats": list(stats),
        "sites": list(sites),
        "random_weights": "its weights are random" in loaded.notes,
        "ceilings": ceilings,
        "machine": machine.describe(device),
    }
    data = trace.dataset
    coords = {
        "chunk_start": ("chunk", np.array([start for start, _ in chunks], np.int32)),
        "chunk_stop": ("chunk", np.array([stop for _, stop in chunks], np.int32)),
        "part": ("part", text_array(PARTS)),
        "outside": ("outside", text_array(OUTSIDE)),
    }
    entry = {
        int(layer): i
        for i, (layer, call) in enumerate(zip(trace["layer"], trace["call"], strict=True))
        if call == 0
    }
    shown = measured.shown
    data = data.assign(
        profile_seconds=(_PROFILE, _cells(shown.chunks, entry, data.sizes["layer"])),
        profile_bytes=(_PROFILE, _cells(measured.weighed.chunks, entry, data.sizes["layer"])),
        profile_outside=(("chunk", "outside"), _outside(shown.chunks)),
    )
    return Trace(data.assign_coords(coords).assign_attrs(profile=profile))


def _cells(chunks: Sequence[dict[Key, float]], entry: dict[int, int], entries: int) -> np.ndarray:
    """[chunks, entries, parts], NaN where a layer has no such part; a layer that calls attention
    several times has all beside its first call."""
    cells = np.full((len(chunks), entries, len(PARTS)), np.nan, np.float32)
    for i, chunk in enumerate(chunks):
        for (layer, part), value in chunk.items():
            if layer is not None and layer in entry and part in PARTS:
                cells[i, entry[layer], PARTS.index(part)] = value
    return cells


def _outside(chunks: Sequence[dict[Key, float]]) -> np.ndarray:
    """[chunks, outside], NaN where the model has no such part."""
    found = [[chunk.get((None, name), np.nan) for name in OUTSIDE] for chunk in chunks]
    return np.array(found, np.float32)


def totals(measured: Measured, parts: Parts, tokens: int, loaded: LoadedModel) -> dict[str, Any]:
    """attrs["profile"] without the ceilings: seconds as [lowest, median, highest] of the passes,
    ratios likewise of passes that followed each other, bytes, FLOP a second."""
    flops = measured.weighed.kernel_flops
    variants: dict[str, Any] = {}
    for name, passes in measured.passes.items():
        took = _spread([one.whole for one in passes])
        kernel = _spread([one.part("kernel") for one in passes])
        variants[name] = {
            "seconds": took,
            "tokens_per_second": tokens / took[1],
            "kernel_seconds": kernel,
            "kernel_flops_per_second": flops / kernel[1],
            "peak_bytes": max(one.peak_bytes for one in passes),
        }
    recorded = measured.passes[RECORDING]
    ratios = {}
    for name in (OFF, FUSED):
        others = measured.passes.get(name)
        if others is None:
            continue
        pairs = list(zip(recorded, others, strict=True))
        ratios[name] = {
            "whole": _spread([a.whole / b.whole for a, b in pairs]),
            "kernel": _spread([a.part("kernel") / b.part("kernel") for a, b in pairs]),
        }
    shown = measured.shown
    products = sum(parts.multiplications(_experts(loaded))) * tokens
    in_parts = shown.part("attention", "mlp")
    off_by = [one.of_parts / one.whole - 1 for one in chain(*measured.passes.values())]
    return {
        "tokens": tokens,
        "repeat": len(recorded),
        "interleaved": "pass by pass, the order rotated; ratios of passes of the same round",
        "clock": measured.clock,
        "memory": measured.counter,
        "variants": variants,
        "ratios": ratios,
        "fused_backend": measured.backend,
        "not_fused": measured.reason,
        "extra_bytes": variants[RECORDING]["peak_bytes"] - variants[OFF]["peak_bytes"],
        "parts_seconds": {n: shown.part(n) for n in (*PARTS, *OUTSIDE) if shown.has(n)},
        "whole_seconds": shown.whole,
        "parts_off_by": max(off_by, key=abs),
        "kernel_flops": flops,
        "product_flops": products,
        "product_flops_per_second": products / in_parts if in_parts else None,
    }


def _spread(values: Sequence[float]) -> list[float]:
    return [min(values), median(values), max(values)]


def _experts(loaded: LoadedModel) -> float:
    """The share of a mixture's experts that a token is sent to."""
    text = loaded.model.config.get_text_config()

    def fact(*names: str) -> int | None:
        return next((v for n in names if isinstance(v := getattr(text, n, None), int)), None)

    count = fact("num_local_experts", "n_routed_experts", "num_experts")
    chosen = fact("num_experts_per_tok", "moe_topk", "num_experts_per_token")
    return chosen / count if count and chosen else 1.0
