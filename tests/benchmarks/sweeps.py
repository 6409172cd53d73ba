"""Time of the records besides the statistics, as a share of the attention call.

python tests/benchmarks/sweeps.py [CHUNK] [TOKENS ...] prints a table: one attention call with
entropy over the last CHUNK tokens of a prompt, and the time that `Sweeps` adds for the map with the
column sums (of the mean over heads, and per head), for the head scores, and for the tail's window.
Medians of interleaved rounds, of one layer with 8 heads of 64 over 4 key heads, on a GPU where
there is one.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import torch

from attentropy.engine.attention.sequence_call import SequenceCall
from attentropy.engine.attention.visibility import Visibility
from attentropy.engine.maps.sweeps import Sweeps
from attentropy.engine.maps.windows import default_window, map_tile
from attentropy.kernels.common.mask import Mask
from attentropy.kernels.ops import attention

HEADS, KEY_HEADS, SIZE, ROUNDS = 8, 4, 64, 5


def main(chunk: int, lengths: list[int]) -> None:
    """Print the table, with the device and the load of the machine."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    print(
        f"{name}, torch {torch.__version__}, {torch.get_num_threads()} threads, load "
        f"{os.getloadavg()[0]:.1f}, chunk {chunk}"
    )
    print("| tokens | attention, s | map + received | per head | scores | window |")
    print("| --- | --- | --- | --- | --- | --- |")
    for tokens in lengths:
        whole, *parts = measure(min(chunk, tokens), tokens, device)
        print(f"| {tokens:,} | {whole:.4f} |", " | ".join(f"{p / whole:.1%}" for p in parts), "|")


def measure(chunk: int, tokens: int, device: torch.device) -> list[float]:
    """Return the median seconds of the attention call and of each part."""
    random = torch.Generator().manual_seed(0)
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    query, key, value = (
        torch.randn(1, heads, rows, SIZE, generator=random).to(device, dtype)
        for heads, rows in ((HEADS, chunk), (KEY_HEADS, tokens), (KEY_HEADS, tokens))
    )
    visibility = Visibility(Mask(chunk, tokens, tokens - chunk))
    first = attention(query, key, value)
    tile = map_tile("auto", tokens, 32) or (1, 1)
    tail = default_window(tokens, 32, HEADS)
    nothing: dict[str, Any] = {"received": False, "scores": False}
    variants = [
        Sweeps(tokens, [HEADS], tile=tile, scores=False),
        Sweeps(tokens, [HEADS], tile=tile, map_per_head=True, scores=False),
        Sweeps(tokens, [HEADS], **nothing | {"scores": True}),
        Sweeps(tokens, [HEADS], **nothing, rectangles=[tail]),
    ]
    rows = chunk // tile[0] * tile[0]  # a chunk begins at a tile
    part = Visibility(Mask(rows, tokens, tokens // tile[0] * tile[0] - rows))

    def sweep_job(sweeps: Sweeps) -> Callable[[], Any]:
        where = part if sweeps.tile else visibility
        n = where.queries
        call = SequenceCall(
            query[:, :, :n], key, first.lse[:, :, :n], where, {}, first.entropy[:, :, :n]
        )
        return lambda: sweeps.on_attention(0, call)

    jobs = [lambda: attention(query, key, value), *(sweep_job(sweeps) for sweeps in variants)]
    seconds: list[list[float]] = [[] for _ in jobs]
    for _ in range(ROUNDS + 1):
        for job, durations in zip(jobs, seconds, strict=True):
            start = time.perf_counter()
            job()
            if device.type == "cuda":
                torch.cuda.synchronize()
            durations.append(time.perf_counter() - start)
    return [statistics.median(durations[1:]) for durations in seconds]


if __name__ == "__main__":
    with torch.no_grad():
        chunk, *lengths = [int(argument) for argument in sys.argv[1:]] or [2048]
        main(chunk, lengths or [2048, 8192, 32768])
