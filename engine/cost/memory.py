"""What a run will take of memory, from a model's configuration alone.

Counted on a model without weights, and in the order in which a run takes it: the weights, then what
grows with the prompt (the cache), what a chunk of it leaves until that is written (statistics, the
lens's states), then the largest of the passing needs. `tests/benchmarks/prediction.py` holds it
against what then happens.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from attentropy.engine.cost.size import ModelSize, RunSize
from attentropy.engine.lens.budget import REHEARSED_POSITIONS
from attentropy.engine.maps.windows import automatic
from attentropy.engine.trace.sinks import QUEUE_BYTES

_LIBRARIES = 32 * 2**20  # code and scratch space of the libraries, first used in a run
_SHARED = 16 * 2**20  # and of the threads that share the work; more than two take no more
_TOKEN_TEXT = 600  # bytes a vocabulary entry takes in the tokenizer and where it is hashed
_KERNEL = 5 * 2**19 * 4  # blocks of scores alive at once in the portable attention
_PAGES = 64 * 2**10  # what the system brings in at once where a mapped file is read
_PROBE = 16  # tokens of the check before the run
_LENS_ROWS = 4096  # normed at once
# Tokens of a pass through the cache; the least only where a bound on memory asks for it.
_MOST, _MOST_ON_CPU, FEWEST, _LEAST = 8192, 2048, 256, 16
_TOKEN = 350  # bytes of the objects that hold a token's id, text, role and place
_BITS = {"4bit": 0.55, "8bit": 1.02}  # bytes a weight, the scales of its blocks included


def memory(size: ModelSize, run: RunSize) -> dict[str, int]:
    """Bytes of each part, and their highest sum at one time as "peak_bytes".

    On a CPU that of main memory beside what Python and the libraries take once imported; on a GPU
    that of its own memory. Of a prompt that is read in chunks only cache and bookkeeping grow with
    its length: states, statistics and activations are those of one chunk.
    """
    n, layers, item, kept = run.tokens, size.layers, run.itemsize, run.kept
    here = min(n, run.chunk or n)  # tokens of a pass
    read = min(here, run.positions)
    weights = _weights(size, run)
    loading = weights + size.parameters * size.stored
    keys = 2 * size.key_heads * size.head_size * min(n, size.window or n)  # and values of a layer
    cache = layers * keys * item
    lens = size.lens(item, run.sites)
    states = round(lens.cost(read, here).kept_bytes) + read * size.width * item
    held = 0  # until the answer is there, of a prompt whose chunks are gone by then
    if here < n:
        held = round(lens.cost(min(run.positions, REHEARSED_POSITIONS), n).kept_bytes)
    flying = sum(kept.rows(size, here).values()) + kept.windows(size, n)
    flying = min(flying, QUEUE_BYTES) if here < n else flying
    results = run.sites * layers * read * 4 * 20
    book = n * _TOKEN + (8 * layers * n if kept.received else 0)
    rows = min(_LENS_ROWS, read)
    reading = 5 * rows * size.width * 4 + 2 * _KERNEL + results if read else 0
    checking = _PROBE * size.vocabulary * 4 * 8
    activations = passing(size, here, item)
    activations += keys * item if here < n else 0  # a layer's cache, copied as it grows
    activations += keys * 4 if run.on_cpu and item < 4 else 0  # and widened, for the kernel
    if run.on_cpu:
        # The heap keeps what passing arrays leave behind. Where the type changes, the file's pages
        # are there beside the weights made of them. What is written lies there twice: as it came,
        # and as it is laid out.
        running = cache + states + held + 2 * flying + book + activations + reading
        running += _windowing(size, run)
        changes = item != size.stored and run.quantize is None
        peak = max(weights + max(running, checking), loading if changes else 0)
        peak += _LIBRARIES + _TOKEN_TEXT * size.vocabulary
        peak += _SHARED if torch.get_num_threads() > 1 else 0
    else:
        peak = weights + max(checking, cache + states + max(activations, reading))
    return {
        "weights_bytes": weights,
        "cache_bytes": cache,
        "statistics_bytes": 2 * flying,
        "lens_bytes": states + held + reading,
        "activations_bytes": activations,
        "peak_bytes": peak,
    }


def chunk_tokens(
    size: ModelSize,
    itemsize: int,
    *,
    on_cpu: bool,
    states: int = 0,
    memory: int | None = None,
    free: int | None = None,
) -> int:
    """Tokens of a pass through the cache where nobody has said: a power of two, such that what
    lives while it runs takes at most half of `memory`, or an eighth of what is `free`.

    states: bytes that the lens keeps of a token meanwhile. At most 8,192, on a CPU 2,048, beyond
    which products gain nothing; at least 256, with a bound on memory 16.
    """
    limit = memory // 2 if memory is not None else free // 8 if free is not None else None
    chunk = _MOST_ON_CPU if on_cpu else _MOST
    least = FEWEST if memory is None else _LEAST
    while (
        limit is not None
        and chunk > least
        and passing(size, chunk, itemsize) + chunk * states > limit
    ):
        chunk //= 2
    return chunk


def passing(size: ModelSize, n: int, item: int) -> int:
    """Bytes of what passes while `n` tokens go through one layer."""
    attending = n * (2 * size.width + 5 * size.heads * size.head_size) * item + _KERNEL
    attending += n * size.heads * size.head_size * 4  # the output, always float32
    return max(attending, n * (3 * size.width + 3 * size.inner) * item)


def _weights(size: ModelSize, run: RunSize) -> int:
    if run.quantize is not None:
        rest = size.parameters - size.linear
        return round(rest * run.itemsize + size.linear * _BITS[run.quantize])
    whole = size.parameters * run.itemsize
    if not run.on_cpu or run.itemsize != size.stored:
        return whole
    # Mapped from the file: of a table that nothing else uses, only the pages that are read; and of
    # experts that were put together, those of the file beside them.
    table, row = size.embedding * run.itemsize, size.width * run.itemsize
    return whole - table + min(table, run.tokens * max(row, _PAGES)) + size.experts * run.itemsize


def _windowing(size: ModelSize, run: RunSize) -> int:
    """Bytes that pass while one layer's exact weights are computed."""
    spans = run.kept.rectangles or (automatic(run.tokens, size.layers, size.heads),)
    sides = [(one.rows[1] - one.rows[0]) * (one.keys[1] - one.keys[0]) for one in spans]
    return 3 * size.heads * max(sides) * 4


def alternatives(size: ModelSize, run: RunSize) -> dict[str, RunSize]:
    """Runs that take less, by the option that asks for them, the gentlest first."""
    last = min(run.positions, 128)
    found = {
        "--lens-positions -128:": replace(run, positions=last),
        "--lens none": replace(run, positions=0),
        "--dtype bfloat16": replace(run, itemsize=min(2, run.itemsize)),
        "--quantize 8bit": replace(run, quantize="8bit"),
        "--quantize 4bit": replace(run, quantize="4bit"),
    }
    small = replace(run, itemsize=min(2, run.itemsize), positions=0)
    found["--dtype bfloat16 --lens none"] = small
    found["--quantize 4bit --dtype bfloat16 --lens none"] = replace(small, quantize="4bit")
    if run.chunk is not None and run.chunk > FEWEST:
        smaller = max(FEWEST, run.chunk // 4)
        found = {f"--chunk {smaller}": replace(run, chunk=smaller)} | found
    needed = memory(size, run)["peak_bytes"]
    return {o: r for o, r in found.items() if memory(size, r)["peak_bytes"] < needed}
