"""Time and memory that recording a long prompt costs on a CPU.

python tests/benchmarks/long.py [MOST] [CHUNK] [ROUNDS] prints the tables of long.md. The model is
the embedded one's architecture with d 256, 8 layers, 8 query heads over 4 of keys, random weights.
`recorded` is a whole extraction into a `.zarr` folder: entropy only, no lens, no answer. It is
compared with the same passes through the cache without recording: by our attention, which then
computes no statistic, and by PyTorch's fused attention for CPUs, which merges the past's keys and
the chunk's own square through lse. The timed runs of the three are interleaved. The peak of memory
is measured in one process per run, after the model is loaded.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from attentropy.engine import demo
from attentropy.engine.attention import hook as attention_hook
from attentropy.engine.attention.ignored import without_recording
from attentropy.engine.model.cache import cache_of
from attentropy.engine.profile.torch_attention import fused_attention
from attentropy.engine.run import prefill
from attentropy.engine.run.extract import extract

KINDS = ("recorded", "ours", "fused")
LAYERS, KEY_HEADS, HEAD_SIZE = 8, 4, 32


def model(positions: int) -> Any:
    """Return a model with random weights, in evaluation mode."""
    config = AutoConfig.for_model(
        "llama", hidden_size=256, intermediate_size=512, num_hidden_layers=LAYERS,
        num_attention_heads=8, num_key_value_heads=KEY_HEADS, head_dim=HEAD_SIZE, vocab_size=1536,
        max_position_embeddings=positions, bos_token_id=0, eos_token_id=1, pad_token_id=4,
    )  # fmt: skip
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config).eval()


def seconds(kind: str, network: Any, ids: list[int], chunk: int, folder: Path) -> float:
    """Return how long the passes over `ids` take, with the trace written."""
    if kind == "recorded":
        starts: list[float] = []
        extract(
            network, ids, tokenizer=AutoTokenizer.from_pretrained(demo.path()), stats=("entropy",),
            lens=(), map_tile="none", scores=False, max_new_tokens=0, chunk=chunk,
            output=folder / "t.zarr", force=True,
            progress=lambda stage, *rest: starts.append(time.perf_counter())
            if stage == "reading the prompt" else None,
        )  # fmt: skip
        return time.perf_counter() - starts[0]
    tensor, cache = torch.tensor([ids]), None
    other = attention_hook.attention_function.set(
        fused_attention("flash", len(ids)) if kind == "fused" else None
    )
    try:
        with without_recording(network):
            start = time.perf_counter()
            for bounds in prefill.chunk_bounds(len(ids), chunk):
                cache = cache_of(prefill.read_chunk(network, tensor, *bounds, cache))
            return time.perf_counter() - start
    finally:
        attention_hook.attention_function.reset(other)


def drawn(tokens: int) -> list[int]:
    """Return random ids that are no special tokens."""
    return torch.randint(8, 1536, (tokens,), generator=torch.Generator().manual_seed(1)).tolist()


def resident(name: str) -> int:
    """Return the bytes that the operating system reports for this process under `name`."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def child(kind: str, tokens: int, chunk: int) -> None:
    """Print the peak of memory of one run in this process."""
    network, ids = model(max(tokens, 2048)), drawn(tokens)
    with tempfile.TemporaryDirectory() as name:
        seconds(
            kind, network, drawn(300), 128, Path(name)
        )  # what the first use allocates stays allocated
        Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
        before = resident("VmRSS")
        seconds(kind, network, ids, chunk, Path(name))
    print(resident("VmHWM") - before)


def peak(kind: str, tokens: int, chunk: int) -> int:
    """Return the peak in bytes above the memory before the run, measured in its own process."""
    command = [sys.executable, __file__, "child", kind, str(tokens), str(chunk)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return int(done.stdout.split()[-1])


def main(most: int, chunk: int, rounds: int) -> None:
    """Print the tables."""
    print(f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, "
          f"torch {torch.__version__}, chunks of {chunk:,} tokens, {rounds} rounds\n")  # fmt: skip
    lengths = [2048 * 2**i for i in range(16) if 2048 * 2**i <= most]
    print("| tokens | recorded s | ours s | fused s | recorded / ours | recorded / fused |")
    print("| --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as name:
        for n in lengths:
            network, ids = model(max(n, 2048)), drawn(n)
            seconds("recorded", network, drawn(300), 128, Path(name))
            times: dict[str, list[float]] = {kind: [] for kind in KINDS}
            for _ in range(rounds):
                for kind in KINDS:
                    times[kind].append(seconds(kind, network, ids, chunk, Path(name)))
            took = {kind: median(values) for kind, values in times.items()}
            ratios = [
                median(a / b for a, b in zip(times["recorded"], times[kind], strict=True))
                for kind in KINDS[1:]
            ]
            cells = [f"{took[kind]:.2f} ({max(times[kind]) - min(times[kind]):.2f})"
                     for kind in KINDS]  # fmt: skip
            cells += [f"{ratio:.2f}" for ratio in ratios]
            print(f"| {n:,} | {' | '.join(cells)} |", flush=True)
    print("\nMedians, and in brackets the distance from the fastest to the slowest round.\n")
    print("| tokens | recorded MiB | ours MiB | fused MiB | recorded / fused |")
    print("| --- | --- | --- | --- | --- |")
    peaks = []
    for n in lengths:
        row = {kind: peak(kind, n, chunk) for kind in KINDS}
        peaks.append(row["recorded"])
        cells = [f"{row[kind] / 2**20:.1f}" for kind in KINDS]
        print(f"| {n:,} | {' | '.join(cells)} | {row['recorded'] / row['fused']:.2f} |", flush=True)
    if len(lengths) > 2:
        slope, constant = np.polyfit(lengths, peaks, 1)
        deviation = np.abs(np.polyval((slope, constant), lengths) - peaks).max()
        cache = 2 * LAYERS * KEY_HEADS * HEAD_SIZE * 4
        print(f"\nA straight line fits the recorded peaks to {deviation / 2**20:.1f} MiB: "
              f"{slope:,.0f} bytes a token, of which the cache takes {cache:,}, "
              f"and {constant / 2**20:.1f} MiB.")  # fmt: skip
    print(json.dumps({"lengths": lengths, "recorded_peak_bytes": peaks}))


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        child(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    else:
        arguments = [int(word) for word in sys.argv[1:]]
        main(*(arguments + [32_768, 2048, 3][len(arguments) :]))
