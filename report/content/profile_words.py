"""A profile in words and tables: for a terminal, a pipe and the page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from attentropy.engine.errors import TraceError
from attentropy.engine.trace.checks.unreadable import UNREADABLE, reason
from attentropy.engine.trace.dataset import Trace
from attentropy.report.text import for_sentence
from attentropy.report.units import count, format_bytes, percent

Chart = dict[str, Any]  # a Vega-Lite specification

_WORDS = {
    "attention": "rest of the attention block",
    "kernel": "attention kernel",
    "mlp": "MLP",
    "other": "rest of the layer (norms, additions)",
    "lens": "logit lens",
    "writing": "writing the recording to disk",
    "embedding": "embedding",
    "norm": "final norm",
    "head": "output head",
    "rest": "other",
}


@dataclass(frozen=True)
class ProfileTable:
    """A table of a profile, its cells written out."""

    title: str
    columns: list[str]
    rows: list[list[str | None]]


@dataclass(frozen=True)
class ProfileWords:
    """A profile in charts, sentences and tables.

    `charts` and `cost_charts` (what recording costs) are (light, dark) by width; `how` says on what
    and how it was measured.
    """

    cost_charts: Mapping[str, tuple[Chart, Chart]]
    cost_caption: str
    charts: Mapping[str, tuple[Chart, Chart]]
    caption: str
    sentences: tuple[str, ...]
    how: str
    tables: tuple[ProfileTable, ...]


def costs(profile: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Return columns and rows of what recording costs: each variant's time, rate and memory."""
    columns = [
        "", "median time", "min … max", "tokens/s", "recording / this row",
        "attention kernel", "kernel, recording / this row", "kernel rate", "kernel rate / matmul",
        "peak memory",
    ]  # fmt: skip
    names = {
        "recording": f"recording {', '.join(profile['stats'])}",
        "off": "no recording",
        "fused": f"PyTorch fused attention ({profile['fused_backend']})",
    }
    rows = []
    for name, variant in profile["variants"].items():
        ratio = profile["ratios"].get(name)
        low, middle, high = variant["seconds"]
        rows.append(
            [
                names.get(name, name),
                seconds(middle),
                f"{seconds(low)} … {seconds(high)}",
                f"{variant['tokens_per_second']:,.0f}",
                f"{ratio['whole'][1]:.2f}×" if ratio else "–",
                seconds(variant["kernel_seconds"][1]),
                f"{ratio['kernel'][1]:.2f}×" if ratio else "–",
                _unit(variant["kernel_flops_per_second"]),
                _to_matmul(variant["kernel_flops_per_second"], profile),
                format_bytes(variant["peak_bytes"]),
            ]
        )
    return columns, rows


def shares(trace: Trace) -> tuple[list[str], list[list[str]]]:
    """Return columns and rows of the recorded pass's parts: time, share, peak memory in a layer."""
    profile = trace.attrs["profile"]
    total = profile["whole_seconds"]
    peaks = trace.dataset["profile_bytes"].max(("chunk", "layer"))
    of_part = dict(zip((str(p) for p in trace["part"]), peaks.values.tolist(), strict=True))
    rows = [
        [
            _WORDS.get(part, part), seconds(time), percent(time / total),
            format_bytes(of_part[part]) if of_part.get(part, -1) >= 0 else "–",
        ]
        for part, time in profile["parts_seconds"].items()
    ]  # fmt: skip
    return ["", "time", "share", "peak memory of one layer"], rows


def profile_sentences(profile: dict[str, Any]) -> list[str]:
    """Return what the numbers mean, as sentences."""
    recording = profile["variants"]["recording"]
    chunks = -(-profile["tokens"] // profile["chunk"])
    lines = [
        f"{count(profile['tokens'], 'token')} in {count(chunks, 'chunk')} of "
        f"{profile['chunk']:,}: {recording['tokens_per_second']:,.0f} tokens/s while recording "
        f"{', '.join(profile['stats'])}."
    ]
    words = {"off": "the same pass without recording", "fused": "PyTorch's fused attention"}
    for name, ratio in profile["ratios"].items():
        pass_ratio, kernel_ratio = (_ratio(ratio[part]) for part in ("whole", "kernel"))
        lines.append(
            f"Recording takes {pass_ratio} the time of {words.get(name, name)}. The "
            f"attention kernel alone: {kernel_ratio}."
        )
    if profile["not_fused"]:
        lines.append(f"Not compared with a fused kernel: {profile['not_fused']}.")
    if (products := profile["product_flops_per_second"]) is not None:
        lines.append(
            f"The attention kernel runs at "
            f"{rate(recording['kernel_flops_per_second'], profile)}, the projections and MLPs at "
            f"{rate(products, profile)}. Matmul is a large matrix product measured on this "
            f"machine: {_unit(profile['ceilings']['flops_per_second'])}."
        )
    lines.append(
        f"The parts sum to {100 * (1 + profile['parts_off_by']):.1f} % of the wall time (worst "
        "pass)."
    )
    lines.append(f"Recording adds {format_bytes(max(0, profile['extra_bytes']))} to peak memory.")
    return lines


def method(profile: dict[str, Any]) -> str:
    """Return the machine, the versions and the method of the measurement: a caption."""
    machine = profile["machine"]
    versions = ", ".join(
        f"{k} {machine[k]}" for k in ("attentropy", "torch", "triton") if k in machine
    )
    memory = f"{profile['memory']}, in a separate pass" if profile["memory"] else "not measured"
    return (
        f"{machine['device']} ({machine['threads']}), {versions}, {machine['time']}. Timing: "
        f"{profile['clock']}; median of {count(profile['repeat'], 'pass', 'passes')} after a "
        f"warm-up; {profile['interleaved']}; ranges are min … max. Writing to disk is included in "
        f"the timing. Memory: {memory}."
    )


def seconds(value: float) -> str:
    """Return a time in a unit that suits its size."""
    if value >= 100:
        return f"{value:,.0f} s"
    if value >= 1:
        return f"{value:.2f} s"
    return f"{value * 1e3:.3g} ms"


def rate(flops: float, profile: dict[str, Any]) -> str:
    """Return FLOP per second, and their ratio to the matrix product's measured here."""
    return f"{_unit(flops)} ({_to_matmul(flops, profile)} matmul)"


def _to_matmul(flops: float, profile: dict[str, Any]) -> str:
    """Return a rate as a multiple of the matrix product's: in another dtype it may be above 1."""
    return f"{flops / profile['ceilings']['flops_per_second']:.2f}×"


def layers(trace: Trace) -> tuple[list[str], list[list[str]]]:
    """Return columns and rows of each layer's milliseconds and peak memory, by part."""
    times, peaks = (trace[name] for name in ("profile_seconds", "profile_bytes"))
    times = np.where(np.isfinite(times).any(0), np.nansum(times, 0), np.nan) * 1e3  # [layer, part]
    peaks = np.fmax.reduce(peaks, 0)
    parts = [
        (i, str(part)) for i, part in enumerate(trace["part"]) if np.isfinite(times[:, i]).any()
    ]
    columns = ["layer", *(f"{part} (ms)" for _, part in parts), *(f"{p} (MB)" for _, p in parts)]
    rows = [
        [
            str(int(layer)),
            *(_number(times[row, i]) for i, _ in parts),
            *(_number(peaks[row, i] / 1e6) for i, _ in parts),
        ]
        for row, layer in enumerate(trace["layer"])
    ]
    return columns, rows


def _number(value: float) -> str:
    """Return a value in three digits."""
    return f"{value:,.3g}" if np.isfinite(value) else "–"


def growth_words(trace: Trace) -> str:
    """Return how the attention's share changes along the prompt; empty for a single chunk."""
    parts = [str(part) for part in trace["part"]]
    both = [parts.index("attention"), parts.index("kernel")]
    seconds = np.nansum(trace["profile_seconds"], 1)  # [chunk, part]
    total = seconds.sum(1) + np.nansum(trace["profile_outside"], 1)
    share = seconds[:, both].sum(1) / total
    if len(share) < 2:
        return ""
    return (
        f" Attention takes {percent(share[0])} of the time of the first chunk and "
        f"{percent(share[-1])} of the last."
    )


def has_profile(trace: Trace) -> bool:
    """Return whether the trace was made by a profile."""
    return "profile_seconds" in trace and isinstance(trace.attrs.get("profile"), dict)


def read_profile(trace: Trace) -> ProfileWords | None:
    """Return a trace's profile in words, tables and charts; None where it holds none.

    Raises `TraceError` for a profile that cannot be read.
    """
    if not has_profile(trace):
        return None
    try:
        return _profile_words(trace)
    except UNREADABLE as error:
        raise unreadable_profile(error) from error


def cost_caption(profile: dict[str, Any]) -> str:
    """Return what the picture of the cost shows."""
    memory = "; right (or bottom): peak memory beyond the model's weights"
    return (
        f"What recording {', '.join(profile['stats'])} costs: median time of "
        f"{count(profile['repeat'], 'pass', 'passes')}, with lines from the shortest to the "
        f"longest{memory if profile['memory'] else '; memory was not measured'}."
    )


def unreadable_profile(error: Exception) -> TraceError:
    """Return the error of a profile that cannot be read or drawn."""
    return TraceError(f"the trace's profile is invalid ({reason(error)})")


def _profile_words(trace: Trace) -> ProfileWords:
    """Read a profile."""
    from attentropy.report.figures import cost_chart
    from attentropy.report.figures.profile_charts import NARROW, WIDE, charts

    profile = trace.attrs["profile"]
    tables = {
        "Cost of recording": costs(profile),
        "Time by part, while recording": shares(trace),
        "Time and peak memory by layer, over all chunks": layers(trace),
    }
    widths = {"wide": cost_chart.WIDE, "narrow": cost_chart.NARROW}
    return ProfileWords(
        cost_charts={name: cost_chart.cost_charts(profile, w) for name, w in widths.items()},
        cost_caption=for_sentence(cost_caption(profile), 600),
        charts={"wide": charts(trace, WIDE), "narrow": charts(trace, NARROW)},
        caption=for_sentence(
            f"Left (or top): time per layer over {count(profile['tokens'], 'token')}, processed in "
            f"chunks of {profile['chunk']:,}, while {', '.join(profile['stats'])} of every head "
            "and query is recorded. Right (or bottom): share of each part in the time of each "
            "chunk." + growth_words(trace),
            600,
        ),
        sentences=tuple(for_sentence(sentence, 600) for sentence in profile_sentences(profile)),
        how=for_sentence(method(profile), 1200),
        tables=tuple(
            ProfileTable(title, columns, [[for_sentence(cell) for cell in row] for row in rows])
            for title, (columns, rows) in tables.items()
        ),
    )


def _unit(flops: float) -> str:
    """Return FLOP per second in words."""
    return f"{flops / 1e12:.0f} TFLOP/s" if flops >= 2e12 else f"{flops / 1e9:.0f} GFLOP/s"


def _ratio(spread: list[float]) -> str:
    """Return a ratio with its range, where it has one."""
    low, middle, high = (f"{value:.2f}" for value in spread)
    return f"{middle}×" if low == high else f"{middle}× ({low}–{high}×)"
