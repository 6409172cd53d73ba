"""Predict what a run will take of memory, from a model's configuration alone.

The parts are counted in the order in which a run takes them: the weights, then what grows with the
prompt (the cache), what a chunk leaves until it is written (statistics, the lens's states), then
the largest of the transient needs. `tests/benchmarks/prediction.py` compares the prediction with
what a run then takes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypedDict

import torch

from attentropy.engine.cost.size import ModelSize, RunSize
from attentropy.engine.lens.budget import REHEARSED_POSITIONS
from attentropy.engine.maps.windows import default_window
from attentropy.engine.trace.sinks import QUEUE_BYTES

_LIBRARIES = 32 * 2**20  # code and scratch space of the libraries, first used in a run
_SHARED = 16 * 2**20  # and of the threads that share the work; more than two take no more
_TOKEN_TEXT = 600  # bytes of a vocabulary entry in the tokenizer and where it is hashed
_KERNEL = 5 * 2**19 * 4  # blocks of scores alive at once in the portable attention
_VOCABULARY = 3 * 2**20 * 4  # and of logits in the portable vocabulary statistics
_PAGES = 64 * 2**10  # what the system loads at once where a mapped file is read
_PROBE = 16  # tokens of the check before the run
_LENS_ROWS = 4096  # normed at once
# Tokens of a pass through the cache. The lowest number is only for a run whose memory is limited.
_LARGEST_CHUNK, _LARGEST_CHUNK_ON_CPU, SMALLEST_DEFAULT_CHUNK, _SMALLEST_CHUNK = 8192, 2048, 256, 16
_TOKEN = 350  # bytes of the objects that hold a token's id, text, role and place
_BITS = {"4bit": 0.55, "8bit": 1.02}  # bytes per weight, the scales of its blocks included


class MemoryBytes(TypedDict):
    """Bytes of each part of a run, and their highest sum at one time."""

    weights_bytes: int
    cache_bytes: int
    statistics_bytes: int
    lens_bytes: int
    activations_bytes: int
    peak_bytes: int


def memory_bytes(size: ModelSize, run: RunSize) -> MemoryBytes:
    """Return the bytes of each part, and their highest sum at one time as "peak_bytes".

    On a CPU that is main memory beyond what Python and the libraries take once imported; on a GPU
    its own memory. If a prompt is read in chunks, only cache and bookkeeping grow with its length:
    states, statistics and activations are those of one chunk.
    """
    n, item, chunk = run.length, run.itemsize, run.pass_tokens
    is_chunked = chunk < run.tokens
    weights = _weights(size, run)
    # Keys and values of one layer.
    keys = 2 * size.key_heads * size.head_size * min(n, size.window or n)
    cache = size.layers * keys * item
    queries = chunk if is_chunked else n
    recorded = run.recording
    waiting = sum(recorded.rows(size, queries).values())
    if recorded.without_sinks:
        waiting += sum(recorded.rows(size, queries, recorded.without_sinks).values())
    waiting += run.recording.windows(size, run.tokens)
    waiting = min(waiting, QUEUE_BYTES) if is_chunked else waiting
    states, residuals, reading = _lens(size, run)
    activations = transient_bytes(size, max(chunk, run.reference.pass_tokens), item)
    activations += keys * item if is_chunked else 0  # a layer's cache, copied as it grows
    activations += keys * 4 if run.on_cpu and item < 4 else 0  # and widened, for the kernel
    checking = _PROBE * size.vocabulary * 4 * 8
    if run.on_cpu:
        # The heap keeps what transient arrays leave behind. What is written is there twice: as it
        # came, and as it is laid out.
        running = cache + states + residuals + 2 * waiting + activations + reading
        running += n * _TOKEN + (8 * size.layers * n if run.recording.received else 0)
        running += 8 * run.recording.answer_weights(size, run.tokens, run.answer)
        running += 4 * run.recording.thumbnail_values(size, run.tokens)
        running += _windowing(size, run)
        peak = max(weights + max(running, checking), _loading(size, run, weights))
        peak += _LIBRARIES + _TOKEN_TEXT * size.vocabulary
        peak += _SHARED if torch.get_num_threads() > 1 else 0
    else:
        peak = weights + max(checking, cache + states + max(activations, reading))
    return {
        "weights_bytes": weights,
        "cache_bytes": cache,
        "statistics_bytes": 2 * waiting,
        "lens_bytes": states + residuals + reading,
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
    """Return the default number of tokens in a pass through the cache, a power of two.

    What lives while the pass runs takes at most half of `memory`, or an eighth of what is `free`.
    states: bytes that the lens keeps per token meanwhile. At most 8,192, on a CPU 2,048, beyond
    which products gain nothing; at least 256, if `memory` is limited 16.
    """
    limit = memory // 2 if memory is not None else free // 8 if free is not None else None
    chunk = _LARGEST_CHUNK_ON_CPU if on_cpu else _LARGEST_CHUNK
    smallest = SMALLEST_DEFAULT_CHUNK if memory is None else _SMALLEST_CHUNK
    while (
        limit is not None
        and chunk > smallest
        and transient_bytes(size, chunk, itemsize) + chunk * states > limit
    ):
        chunk //= 2
    return chunk


def questions_at_once(chunk: int, longest: int) -> int:
    """Return how many placebo questions one pass reads, the longest of which has so many tokens.

    chunk: tokens of a pass over the prompt.
    """
    return max(1, max(chunk, SMALLEST_DEFAULT_CHUNK) // longest)


def transient_bytes(size: ModelSize, n: int, item: int) -> int:
    """Return the bytes of the transient arrays while `n` tokens go through one layer.

    item: bytes of one number.
    """
    attending = n * (2 * size.width + 5 * size.heads * size.head_size) * item + _KERNEL
    attending += n * size.heads * size.head_size * 4  # the output, always float32
    return max(attending, n * (3 * size.width + 3 * size.inner) * item)


def _weights(size: ModelSize, run: RunSize) -> int:
    """Return the bytes of the weights that are in memory."""
    if run.quantize is not None:
        rest = size.parameters - size.linear
        return round(rest * run.itemsize + size.linear * _BITS[run.quantize])
    total = size.parameters * run.itemsize
    if not run.on_cpu or run.itemsize != size.stored or size.gguf is not None:
        return total
    # Mapped from the file: of a table that nothing else uses, only the pages that are read; and the
    # experts twice, as they are put together in memory and as they are in the file.
    table, row = size.embedding * run.itemsize, size.width * run.itemsize
    return total - table + min(table, run.tokens * max(row, _PAGES)) + size.experts * run.itemsize


def _loading(size: ModelSize, run: RunSize, weights: int) -> int:
    """Return the bytes while weights of another type are loaded, 0 where the type stays.

    The file's pages are then in memory together with the converted weights; for a GGUF file also
    the largest matrix, in float32 as it is unpacked and as it is copied.
    """
    if size.gguf is not None:
        largest = size.width * max(size.inner, size.vocabulary)
        return weights + size.gguf.sizes.bytes + 2 * 4 * largest
    is_converted = run.itemsize != size.stored and run.quantize is None
    return weights + size.parameters * size.stored if is_converted else 0


def _lens(size: ModelSize, run: RunSize) -> tuple[int, int, int]:
    """Return the lens's bytes: a chunk's states, the residuals kept for the rehearsal, transients.

    The residuals are kept until the answer is generated, and counted for a prompt whose chunks are
    gone by then.
    """
    read = min(run.pass_tokens, run.positions)
    lens = size.lens(run.itemsize, run.sites)
    states = round(lens.cost(read, run.pass_tokens).kept_bytes) + read * size.width * run.itemsize
    residuals = 0
    if run.pass_tokens < run.tokens:
        rehearsed = min(run.positions, REHEARSED_POSITIONS)
        residuals = round(lens.cost(rehearsed, run.tokens).kept_bytes)
    if not read:
        return states, residuals, 0
    results = run.sites * size.layers * read * 4 * 20
    reading = 5 * min(_LENS_ROWS, read) * size.width * 4 + _VOCABULARY + results
    return states, residuals, reading


def _windowing(size: ModelSize, run: RunSize) -> int:
    """Return the transient bytes while one layer's exact weights are computed."""
    spans = run.recording.rectangles or (default_window(run.tokens, size.layers, size.heads),)
    areas = [(one.rows[1] - one.rows[0]) * (one.keys[1] - one.keys[0]) for one in spans]
    return 3 * size.heads * max(areas) * 4


def alternatives(size: ModelSize, run: RunSize) -> dict[str, RunSize]:
    """Return runs that take less memory, by the argument that asks for them.

    The option that changes least comes first.
    """
    runs: dict[str, RunSize] = {}
    if run.chunk is not None and run.chunk > SMALLEST_DEFAULT_CHUNK:
        smaller = max(SMALLEST_DEFAULT_CHUNK, run.chunk // 4)
        runs[f"`chunk={smaller}`"] = replace(run, chunk=smaller)
    small = replace(run, itemsize=min(2, run.itemsize), positions=0)
    runs |= {
        '`lens_positions="-128:"`': replace(run, positions=min(run.positions, 128)),
        '`lens="none"`': replace(run, positions=0),
        '`dtype="bfloat16"`': replace(run, itemsize=min(2, run.itemsize)),
        '`quantize="8bit"`': replace(run, quantize="8bit"),
        '`quantize="4bit"`': replace(run, quantize="4bit"),
        '`dtype="bfloat16"` and `lens="none"`': small,
        '`quantize="4bit"`, `dtype="bfloat16"` and `lens="none"`': replace(small, quantize="4bit"),
    }
    if size.gguf is not None:  # its weights cannot be quantized again
        runs = {option: other for option, other in runs.items() if other.quantize is None}
    needed = memory_bytes(size, run)["peak_bytes"]
    return {
        option: other
        for option, other in runs.items()
        if memory_bytes(size, other)["peak_bytes"] < needed
    }
