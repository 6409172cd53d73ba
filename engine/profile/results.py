"""Lay out what a profile measured: the trace's arrays, and totals, ratios and rates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from statistics import median
from typing import TypedDict

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


class VariantTotals(TypedDict):
    """One variant's passes; spreads are [lowest, median, highest]."""

    seconds: list[float]
    tokens_per_second: float
    kernel_seconds: list[float]
    kernel_flops_per_second: float
    peak_bytes: int


class RatioTotals(TypedDict):
    """How many times as long as another variant recording takes, as spreads."""

    whole: list[float]
    kernel: list[float]


class ProfileTotals(TypedDict):
    """The trace's attrs["profile"] as far as it follows from the passes."""

    tokens: int
    repeat: int
    interleaved: str
    clock: str
    memory: str | None
    variants: dict[str, VariantTotals]
    ratios: dict[str, RatioTotals]
    fused_backend: str | None
    not_fused: str | None
    extra_bytes: int
    parts_seconds: dict[str, float]
    whole_seconds: float
    parts_off_by: float
    kernel_flops: float
    product_flops: float
    product_flops_per_second: float | None


@dataclass
class Pass:
    """One pass over the prompt: per chunk what each part took, and seconds by the outer clock.

    peak_bytes: the highest beyond what was taken before. trace: what was recorded, if that stays.
    kernel_flops: 0 if not counted.
    """

    chunks: list[dict[Key, float]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    peak_bytes: int = 0
    trace: Trace | None = None
    kernel_flops: float = 0.0

    @property
    def total_seconds(self) -> float:
        """Seconds by the outer clock."""
        return sum(self.seconds)

    @property
    def parts_seconds(self) -> float:
        """Seconds of all parts."""
        return sum(sum(chunk.values()) for chunk in self.chunks)

    def part(self, *names: str) -> float:
        """Return the seconds of these parts over all layers and chunks."""
        return sum(v for chunk in self.chunks for (_, part), v in chunk.items() if part in names)

    def has(self, name: str) -> bool:
        """Tell whether there is such a part."""
        return any(part == name for chunk in self.chunks for _, part in chunk)


@dataclass(frozen=True)
class Measurement:
    """Timed passes by variant, and the recorded pass in which memory was measured instead.

    backend: PyTorch's fused kernel; reason: why there is none. clock and counter: what measured
    time and memory.
    """

    passes: dict[str, list[Pass]]
    memory_pass: Pass
    clock: str
    counter: str | None
    backend: str | None
    reason: str | None

    @property
    def median_pass(self) -> Pass:
        """The recorded pass whose time is the median (the lower of two), which is shown."""
        ordered = sorted(self.passes[RECORDING], key=lambda one: one.total_seconds)
        return ordered[(len(ordered) - 1) // 2]


def profile_trace(
    measurement: Measurement,
    chunks: Sequence[tuple[int, int]],
    parts: Parts,
    loaded: LoadedModel,
    stats: Sequence[str],
    sites: Sequence[str],
) -> Trace:
    """Return the trace of what was recorded, with its profile."""
    trace = measurement.memory_pass.trace
    assert trace is not None
    device = input_device(loaded.model).type
    dtype = str(loaded.model.dtype).removeprefix("torch.")
    ceilings = machine.upper_bounds(device, dtype)
    profile = {
        **totals(measurement, parts, chunks[-1][1], loaded),
        "chunk": chunks[0][1],
        "stats": list(stats),
        "sites": list(sites),
        "random_weights": "its weights are random" in loaded.notes,
        "ceilings": ceilings,
        "machine": machine.describe_machine(device),
    }
    data = trace.dataset
    coords = {
        "chunk_start": ("chunk", np.array([start for start, _ in chunks], np.int32)),
        "chunk_stop": ("chunk", np.array([stop for _, stop in chunks], np.int32)),
        "part": ("part", text_array(PARTS)),
        "outside": ("outside", text_array(OUTSIDE)),
    }
    entries = {
        int(layer): i
        for i, (layer, call) in enumerate(zip(trace["layer"], trace["call"], strict=True))
        if call == 0
    }
    times, memory = measurement.median_pass.chunks, measurement.memory_pass.chunks
    data = data.assign(
        profile_seconds=(_PROFILE, _cells(times, entries, data.sizes["layer"])),
        profile_bytes=(_PROFILE, _cells(memory, entries, data.sizes["layer"])),
        profile_outside=(("chunk", "outside"), _outside(times)),
    )
    return Trace(data.assign_coords(coords).assign_attrs(profile=profile))


def _cells(chunks: Sequence[dict[Key, float]], entries: dict[int, int], count: int) -> np.ndarray:
    """Return the values as [chunks, count, parts], NaN where a layer has no such part.

    entries: the index of each layer; a layer that calls attention several times has all of its
    values at its first call.
    """
    cells = np.full((len(chunks), count, len(PARTS)), np.nan, np.float32)
    for i, chunk in enumerate(chunks):
        for (layer, part), value in chunk.items():
            if layer is not None and layer in entries and part in PARTS:
                cells[i, entries[layer], PARTS.index(part)] = value
    return cells


def _outside(chunks: Sequence[dict[Key, float]]) -> np.ndarray:
    """Return the values outside of the layers, [chunks, outside], NaN for absent parts."""
    rows = [[chunk.get((None, name), np.nan) for name in OUTSIDE] for chunk in chunks]
    return np.array(rows, np.float32)


def totals(
    measurement: Measurement, parts: Parts, tokens: int, loaded: LoadedModel
) -> ProfileTotals:
    """Return attrs["profile"] without the ceilings.

    Seconds are [lowest, median, highest] of the passes, ratios likewise of passes in the same
    round; sizes are bytes, rates FLOP per second.
    """
    flops = measurement.memory_pass.kernel_flops
    variants = {
        name: _variant(passes, tokens, flops) for name, passes in measurement.passes.items()
    }
    shown = measurement.median_pass
    products = sum(parts.multiplications(_share_of_experts(loaded))) * tokens
    in_parts = shown.part("attention", "mlp")
    off_by = [
        one.parts_seconds / one.total_seconds - 1 for one in chain(*measurement.passes.values())
    ]
    return {
        "tokens": tokens,
        "repeat": len(measurement.passes[RECORDING]),
        "interleaved": "each round runs every variant once; ratios compare passes of one round",
        "clock": measurement.clock,
        "memory": measurement.counter,
        "variants": variants,
        "ratios": _ratios(measurement),
        "fused_backend": measurement.backend,
        "not_fused": measurement.reason,
        "extra_bytes": variants[RECORDING]["peak_bytes"] - variants[OFF]["peak_bytes"],
        "parts_seconds": {n: shown.part(n) for n in (*PARTS, *OUTSIDE) if shown.has(n)},
        "whole_seconds": shown.total_seconds,
        "parts_off_by": max(off_by, key=abs),
        "kernel_flops": flops,
        "product_flops": products,
        "product_flops_per_second": products / in_parts if in_parts else None,
    }


def _variant(passes: Sequence[Pass], tokens: int, kernel_flops: float) -> VariantTotals:
    seconds = _spread([one.total_seconds for one in passes])
    kernel = _spread([one.part("kernel") for one in passes])
    return {
        "seconds": seconds,
        "tokens_per_second": tokens / seconds[1],
        "kernel_seconds": kernel,
        "kernel_flops_per_second": kernel_flops / kernel[1],
        "peak_bytes": max(one.peak_bytes for one in passes),
    }


def _ratios(measurement: Measurement) -> dict[str, RatioTotals]:
    """Return the ratios of recording to each other variant that was timed."""
    ratios: dict[str, RatioTotals] = {}
    for name in (OFF, FUSED):
        others = measurement.passes.get(name)
        if others is None:
            continue
        pairs = list(zip(measurement.passes[RECORDING], others, strict=True))
        ratios[name] = {
            "whole": _spread([a.total_seconds / b.total_seconds for a, b in pairs]),
            "kernel": _spread([a.part("kernel") / b.part("kernel") for a, b in pairs]),
        }
    return ratios


def _spread(values: Sequence[float]) -> list[float]:
    return [min(values), median(values), max(values)]


def _share_of_experts(loaded: LoadedModel) -> float:
    """Return the share of a mixture's experts that a token is sent to."""
    text = loaded.model.config.get_text_config()

    def fact(*names: str) -> int | None:
        return next((v for n in names if isinstance(v := getattr(text, n, None), int)), None)

    experts = fact("num_local_experts", "n_routed_experts", "num_experts")
    used = fact("num_experts_per_tok", "moe_topk", "num_experts_per_token")
    return used / experts if experts and used else 1.0
