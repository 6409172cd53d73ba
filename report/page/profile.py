"""What a profile says, in words and tables: for a terminal, a pipe and the page."""

from __future__ import annotations

import sys
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from attentropy.engine.errors import TraceError
from attentropy.engine.trace.checks.unreadable import UNREADABLE, reason
from attentropy.engine.trace.dataset import Trace
from attentropy.report.text import named, plain
from attentropy.report.units import human

_WIDTH = 150  # in a pipe, which has none
_WORDS = {
    "attention": "rest of the attention block",
    "kernel": "attention kernel",
    "mlp": "MLP",
    "other": "rest of the layers (norms, additions)",
    "lens": "lens",
    "writing": "writing what was recorded",
    "embedding": "embedding",
    "norm": "final norm",
    "head": "head",
    "rest": "outside of the modules",
}


def costs(profile: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Columns and rows of what recording costs: each variant, its time, rate and memory."""
    columns = [
        "", "time", "lowest … highest", "tokens/s", "recording / this", "kernel",
        "recording / this", "kernel's rate", "peak memory",
    ]  # fmt: skip
    names = {
        "recording": f"recording {', '.join(profile['stats'])}",
        "off": "recording nothing",
        "fused": f"PyTorch's fused attention ({profile['fused_backend']})",
    }
    rows = []
    for name, found in profile["variants"].items():
        ratio = profile["ratios"].get(name)
        low, middle, high = found["seconds"]
        rows.append(
            [
                names.get(name, name),
                seconds(middle),
                f"{seconds(low)} … {seconds(high)}",
                f"{found['tokens_per_second']:,.0f}",
                f"{ratio['whole'][1]:.2f}" if ratio else "–",
                seconds(found["kernel_seconds"][1]),
                f"{ratio['kernel'][1]:.2f}" if ratio else "–",
                rate(found["kernel_flops_per_second"], profile),
                human(found["peak_bytes"]),
            ]
        )
    return columns, rows


def shares(trace: Trace) -> tuple[list[str], list[list[str]]]:
    """Columns and rows of the recorded pass's parts: time, share, and peak memory in a layer."""
    profile = trace.attrs["profile"]
    whole = profile["whole_seconds"]
    peaks = trace.dataset["profile_bytes"].max(("chunk", "layer"))
    of_part = dict(zip((str(p) for p in trace["part"]), peaks.values.tolist(), strict=True))
    rows = [
        [
            _WORDS.get(part, part), seconds(took), f"{took / whole:.1%}",
            human(of_part[part]) if of_part.get(part, -1) >= 0 else "–",
        ]
        for part, took in profile["parts_seconds"].items()
    ]  # fmt: skip
    return ["", "time", "of the whole", "peak memory in a layer"], rows


def sentences(profile: dict[str, Any]) -> list[str]:
    """What the numbers say, and how they were measured."""
    recording = profile["variants"]["recording"]
    chunks = -(-profile["tokens"] // profile["chunk"])
    found = [
        f"{profile['tokens']:,} tokens in {chunks:,} chunks of {profile['chunk']:,}: "
        f"{recording['tokens_per_second']:,.0f} tokens/s while recording "
        f"{', '.join(profile['stats'])}."
    ]
    words = {"off": "recording nothing", "fused": "PyTorch's fused attention"}
    for name, ratio in profile["ratios"].items():
        whole, kernel = (_ratio(ratio[part]) for part in ("whole", "kernel"))
        found.append(
            f"Against {words.get(name, name)}, recording takes {whole} the time, "
            f"its kernel {kernel}."
        )
    if profile["not_fused"]:
        found.append(f"Not compared with a fused kernel: {profile['not_fused']}.")
    if (products := profile["product_flops_per_second"]) is not None:
        found.append(
            f"The kernel reaches {rate(recording['kernel_flops_per_second'], profile)}; the "
            f"matrices of attention blocks and MLPs, over all the time of these two parts, "
            f"{rate(products, profile)}; a matrix product alone, measured here, "
            f"{_unit(profile['ceilings']['flops_per_second'])}."
        )
    found.append(
        f"The parts add up to {1 + profile['parts_off_by']:.1%} of the outer clock in the pass "
        "where they are furthest from it."
    )
    found.append(
        f"Recording takes {human(max(0, profile['extra_bytes']))} more memory at its peak."
    )
    return found


def how(profile: dict[str, Any]) -> str:
    """On what, with what and how it was measured: a caption."""
    machine = profile["machine"]
    versions = ", ".join(
        f"{k} {machine[k]}" for k in ("attentropy", "torch", "triton") if k in machine
    )
    memory = profile["memory"] or "not measured on this system"
    return (
        f"{machine['device']} ({machine['threads']}), {versions}, {machine['time']}. Time: "
        f"{profile['clock']}, the recorded pass whose time is the median of {profile['repeat']}, "
        f"after a warm-up; {profile['interleaved']}, lowest … highest. What is recorded is "
        f"written into a folder meanwhile, all of it before a pass ends. Memory: {memory}, in a "
        "pass of its own."
    )


def show(trace: Trace) -> None:
    """The tables and the sentences, to standard output."""
    profile = trace.attrs["profile"]
    console = Console(width=None if sys.stdout.isatty() else _WIDTH, highlight=False)
    for title, (columns, rows) in (
        ("What recording costs", costs(profile)),
        ("Where the recorded pass spends its time", shares(trace)),
    ):
        table = Table(title=title)
        for i, name in enumerate(columns):
            table.add_column(name, justify="right" if i else "left")
        for row in rows:
            table.add_row(*(Text(plain(cell)) for cell in row))
        console.print(table)
    for sentence in (*sentences(profile), how(profile)):
        click.echo(plain(sentence))


def seconds(value: float) -> str:
    """A time in the unit that people read."""
    if value >= 100:
        return f"{value:,.0f} s"
    if value >= 1:
        return f"{value:.2f} s"
    return f"{value * 1e3:.3g} ms"


def rate(flops: float, profile: dict[str, Any]) -> str:
    """FLOP a second, and of the matrix product's."""
    return f"{_unit(flops)} ({flops / profile['ceilings']['flops_per_second']:.0%})"


def layers(trace: Trace) -> tuple[list[str], list[list[str]]]:
    """Columns and rows of each layer's milliseconds and peak memory, by part."""
    took, peaks = (trace[name] for name in ("profile_seconds", "profile_bytes"))
    took = np.where(np.isfinite(took).any(0), np.nansum(took, 0), np.nan) * 1e3  # [layer, part]
    peaks = np.fmax.reduce(peaks, 0)
    parts = [
        (i, str(part)) for i, part in enumerate(trace["part"]) if np.isfinite(took[:, i]).any()
    ]
    columns = ["layer", *(f"{part}, ms" for _, part in parts), *(f"{p}, MB" for _, p in parts)]
    rows = [
        [
            str(int(layer)),
            *(_number(took[row, i]) for i, _ in parts),
            *(_number(peaks[row, i] / 1e6) for i, _ in parts),
        ]
        for row, layer in enumerate(trace["layer"])
    ]
    return columns, rows


def _number(value: float) -> str:
    return f"{value:,.3g}" if np.isfinite(value) else "–"


def growth(trace: Trace) -> str:
    """How the attention's share changes along the prompt; nothing where one chunk is all."""
    known = [str(part) for part in trace["part"]]
    both = [known.index("attention"), known.index("kernel")]
    seconds = np.nansum(trace["profile_seconds"], 1)  # [chunk, part]
    whole = seconds.sum(1) + np.nansum(trace["profile_outside"], 1)
    share = seconds[:, both].sum(1) / whole
    if len(share) < 2:
        return ""
    return (
        f" Attention takes {share[0]:.0%} of the first chunk's time and {share[-1]:.0%} of the "
        "last one's."
    )


def section(trace: Trace) -> dict[str, Any] | None:
    """What the page's template shows of it; None without a profile."""
    if "profile_seconds" not in trace or not isinstance(trace.attrs.get("profile"), dict):
        return None
    try:
        return _section(trace)
    except UNREADABLE as error:
        raise TraceError(f"the trace's profile is not one ({reason(error)})") from error


def _section(trace: Trace) -> dict[str, Any]:
    from attentropy.report.figures.profile import NARROW, WIDE, charts
    from attentropy.report.page.document import stills

    profile = trace.attrs["profile"]
    shown = {
        "What recording costs": costs(profile),
        "Where the recorded pass spends its time": shares(trace),
        "Each layer, over all chunks; memory at its peak": layers(trace),
    }
    return {
        "wide": [stills(chart).light for chart in charts(trace, WIDE)],
        "narrow": [stills(chart).light for chart in charts(trace, NARROW)],
        "caption": named(
            f"Left, or above: the time of each layer over {profile['tokens']:,} tokens, read in "
            f"chunks of {profile['chunk']:,}, while {', '.join(profile['stats'])} of every head "
            "and query is recorded. Right, or below: the shares of each chunk's time."
            + growth(trace),
            600,
        ),
        "sentences": [named(sentence, 600) for sentence in sentences(profile)],
        "how": named(how(profile), 1200),
        "tables": [
            {
                "title": title,
                "columns": columns,
                "rows": [[named(cell) for cell in row] for row in rows],
            }
            for title, (columns, rows) in shown.items()
        ],
    }


def _unit(flops: float) -> str:
    return f"{flops / 1e12:.0f} TFLOP/s" if flops >= 2e12 else f"{flops / 1e9:.0f} GFLOP/s"


def _ratio(spread: list[float]) -> str:
    low, middle, high = spread
    return f"{middle:.3f} × ({low:.3f} … {high:.3f})"
