"""Time attention with statistics on a CPU against PyTorch's fused attention without any.

Usage: python tests/benchmarks/cpu.py [--threads 2] [--busy] [--rounds 9] [--output cpu.md]

All methods run in turns, so that other work on the machine meets all of them. A ratio is that of
medians: of the processor's time with one thread, of wall time with more. `--busy` runs a process
that computes all the time.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch.nn.functional import scaled_dot_product_attention as fused

from attentropy import attention, attention_map, attention_received
from attentropy.engine.trace.statistics import DEFAULT_STATS
from attentropy.kernels.ops import STATS

EVERY = tuple(name for name in STATS if name != "sink_prob")
WINDOW, PADDING, CAP = 512, 100, 30.0
PLAIN = [
    (heads, tokens, dim) for dim in (32, 64) for heads, tokens in ((8, 1024), (8, 4096), (2, 16384))
]
MASKED = [(8, 1024, 64), (8, 4096, 64), (8, 4096, 32)]
EAGER = [(8, 512, 64), (8, 4096, 64)]


def make_inputs(heads, tokens, dim, key_heads=None):
    torch.manual_seed(0)
    return [torch.randn(1, h, tokens, dim) for h in (heads, *[key_heads or heads] * 2)]


def eager(q, k, v):
    """Return what `output_attentions` and a line of PyTorch give: output and entropy."""
    s = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
    n = s.shape[-1]
    s = s.masked_fill(torch.ones(n, n, dtype=torch.bool).triu(1), -torch.inf)
    p = s.softmax(-1, dtype=torch.float32)
    return p @ v, torch.special.entr(p).sum(-1)


def time_in_turns(methods: dict[str, Callable], rounds: int, clock: Callable) -> dict[str, float]:
    """Return the median seconds of each method, after one call of each that is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    for method in methods.values():
        method()
    for _ in range(rounds):
        for name, method in methods.items():
            start = clock()
            method()
            seconds[name].append(clock() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def plain_methods(sizes):
    q, k, v = make_inputs(*sizes)
    lse = attention(q, k, v, stats=()).lse
    return {
        "fused": partial(fused, q, k, v, is_causal=True),
        "entropy": partial(attention, q, k, v),
        "default": partial(attention, q, k, v, stats=DEFAULT_STATS),
        "every": partial(attention, q, k, v, stats=EVERY),
        "default in PyTorch": partial(attention, q, k, v, stats=DEFAULT_STATS, impl="portable"),
        "map": partial(attention_map, q, k, lse, tile=128, heads="mean"),
        "map in PyTorch": partial(
            attention_map, q, k, lse, tile=128, heads="mean", impl="portable"
        ),
        "received": partial(attention_received, q, k, lse),
        "received in PyTorch": partial(attention_received, q, k, lse, impl="portable"),
    }


def masked_methods(sizes):
    """Return pairs of methods: the fused kernel with a mask, and ours with the same."""
    heads, tokens, dim = sizes
    q, k, v = make_inputs(*sizes)
    few = make_inputs(heads, tokens, dim, key_heads=heads // 4)
    i, j = torch.arange(tokens)[:, None], torch.arange(tokens)[None]
    window = (j <= i) & (j > i - WINDOW)
    padded = (j <= i) & (j >= PADDING) | (i == j)  # a row that sees nothing is NaN in the other
    starts = torch.tensor([PADDING])
    ours = partial(attention, q, k, v, stats=DEFAULT_STATS)
    return {
        "fused": partial(fused, q, k, v, is_causal=True),
        "softcap": partial(ours, softcap=CAP),
        "fused, window": partial(fused, q, k, v, attn_mask=window),
        "window": partial(ours, window=WINDOW),
        "fused, padding": partial(fused, q, k, v, attn_mask=padded),
        "padding": partial(ours, key_starts=starts),
        "fused, GQA": partial(fused, *few, is_causal=True, enable_gqa=True),
        "GQA": partial(attention, *few, stats=DEFAULT_STATS),
    }


def eager_methods(sizes):
    q, k, v = make_inputs(*sizes)
    return {
        "ours": partial(attention, q, k, v),
        "eager": partial(eager, q, k, v),
        "default": partial(attention, q, k, v, stats=DEFAULT_STATS),
    }


def table(title, sizes, rows, columns, run):
    """Return a Markdown table: for each size and column, the ratio of two methods."""
    lines = [f"{title}", "", f"| heads × tokens × D | {rows} | {' | '.join(columns)} |"]
    lines.append("| " + " | ".join(["---"] * (len(columns) + 2)) + " |")
    for size in sizes:
        seconds = run(size)
        base = next(iter(seconds.values()))
        ratios = [f"{seconds[a] / seconds[b]:.2f}" for a, b in columns.values()]
        lines.append(
            f"| {' × '.join(map(str, size))} | {base * 1e3:.1f} ms | {' | '.join(ratios)} |"
        )
    return [*lines, ""]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--busy", action="store_true")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    clock = time.thread_time if options.threads == 1 else time.perf_counter
    other = multiprocessing.Process(target=compute_for_ever, daemon=True)
    if options.busy:
        other.start()
    lines = [
        f"## {options.threads} thread{'s' * (options.threads != 1)}"
        f"{', next to a process that computes all the time' * options.busy}", "",
        f"{describe_machine()}, torch {torch.__version__}, Python {platform.python_version()}; "
        f"float32, causal, {'processor' if options.threads == 1 else 'wall'} time, medians of "
        f"{options.rounds} in turns; load {os.getloadavg()[0]:.1f}.", "",
    ]  # fmt: skip

    def run(methods, size):
        return time_in_turns(methods(size), options.rounds, clock)

    names = ("entropy", "default", "default in PyTorch", "every", "map", "map in PyTorch",
             "received", "received in PyTorch")  # fmt: skip
    lines += table(
        "Multiples of PyTorch's fused attention without statistics:", PLAIN, "fused",
        {name: (name, "fused") for name in names}, partial(run, plain_methods),
    )  # fmt: skip
    lines += table(
        "Default statistics as multiples of the fused attention with the same mask (softcap: with "
        "none, since it has no softcap):", MASKED, "fused",
        {"softcap": ("softcap", "fused")}
        | {name: (name, f"fused, {name}") for name in ("window", "padding", "GQA")},
        partial(run, masked_methods),
    )  # fmt: skip
    lines += table(
        "Eager attention with its entropy as a multiple of ours:", EAGER, "ours",
        {"entropy": ("eager", "ours"), "default": ("eager", "default")},
        partial(run, eager_methods),
    )  # fmt: skip
    text = "\n".join(lines)
    if options.output:
        with options.output.open("a", encoding="utf-8") as file:
            file.write(text + "\n")
    print(text)
    if options.busy:
        other.terminate()


def compute_for_ever():
    while True:
        sum(range(10**6))


def describe_machine():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.split(": ")[1] for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        model = platform.processor()
    return f"{model}, {os.cpu_count()} cores"


if __name__ == "__main__":
    main()
