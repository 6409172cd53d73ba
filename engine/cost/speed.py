"""Predict how long a run will take here, from a measurement of the machine that takes a second.

Five rates, each at the model's own shapes: matrix products, copying memory, attention with its
statistics, a further sweep over its scores, and the lens's reading of the vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import TypedDict

import torch
from torch import Tensor

from attentropy.engine.cost.size import ModelSize, RunSize
from attentropy.engine.measure.sampling import time_runs
from attentropy.engine.model.gguf import unpack_zeros
from attentropy.kernels.choice import choose_on_cpu
from attentropy.kernels.ops import attention, vocabulary
from attentropy.kernels.sweep import attention_by_distance, attention_map

_BUDGET = 0.25  # seconds of measuring, for each rate
_ROWS = 512
_COLUMNS = 16_384  # of the vocabulary in the lens's measurement
_TILE = 128  # of the map that is measured
_UNPACKED = 2**20  # weights of a GGUF file
_PROBE = 16
_PASSES = 6  # of the check before the run, each over the probe
_START = 0.5  # seconds until the libraries have read configuration, tokenizer and code
CALLS = 1e-3  # seconds of a layer's calls in a pass that computes next to nothing


@dataclass(frozen=True)
class Rates:
    """What the machine does per second.

    product and lens: FLOP, the lens's those of `LensSize.products`. copied: bytes, read and
    written. scores: of attention; swept: scores of a further sweep; by_distance: of the sweep that
    sums them by distance. unpacked: weights of a GGUF file.
    """

    product: float
    copied: float
    scores: float
    lens: float
    swept: float = math.inf
    unpacked: float = math.inf
    by_distance: float = math.inf


class StageSeconds(TypedDict):
    """Seconds of each stage of a run, and their sum."""

    load: float
    check: float
    read_the_prompt: float
    sweep_again: float
    answer: float
    read_the_lens: float
    token_logprobs: float
    read_the_reference: float
    all: float


def measure_rates(size: ModelSize, run: RunSize, device: torch.device, dtype: torch.dtype) -> Rates:
    """Measure the rates in about a second.

    Other work on the machine slows the measurement as it would slow the run.
    """

    if device.type == "cpu":  # a run compiles the C code first where that is worth it
        choose_on_cpu(size.attention_flops(run.tokens))

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, device=device, dtype=dtype)

    def timed(work: Callable[[], object]) -> float:
        return median(time_runs(work, device.type, _BUDGET))

    rows = min(run.tokens, _ROWS)
    # Logits of about 1, as a model's: far apart, their exponentials would be subnormal, and slow.
    x, w = random(rows, size.width) * size.width**-0.5, random(size.inner, size.width)
    product = 2 * rows * size.width * size.inner / timed(lambda: x @ w.T)
    block = random(2**22)
    copied = 2 * block.nbytes / timed(block.clone)
    n = min(run.tokens, 1024)
    q = random(1, size.heads, n, size.head_size)
    k = random(1, size.key_heads, n, size.head_size)
    stats = tuple(name for name in run.recording.stats if name != "lse")
    pairs = size.heads * n * (n + 1) / 2
    scores = pairs / timed(lambda: attention(q, k, k, stats=stats))
    lse = attention(q, k, k, stats=()).lse
    swept = pairs / timed(lambda: attention_map(q, k, lse, tile=min(n, _TILE), heads="mean"))
    by_distance = math.inf
    if run.recording.context:
        by_distance = pairs / timed(lambda: attention_by_distance(q, k, lse))
    layers = min(size.layers, rows) if device.type == "cpu" else 1  # of one call
    final = x[: rows // layers]
    x = final.repeat(layers, 1)
    columns = min(size.vocabulary, _COLUMNS)
    head, targets = random(columns, size.width), torch.zeros_like(x[:, 0], dtype=torch.int64)
    reading = timed(lambda: vocabulary(x, head, top_k=5, targets=targets, final=final))
    read = 2 * len(x) * size.width * columns / reading
    return Rates(product, copied, scores, read, swept, _unpacking_rate(size), by_distance)


def _unpacking_rate(size: ModelSize) -> float:
    """Return how many weights of a GGUF file are dequantized per second, inf for another file."""
    if size.gguf is None:
        return math.inf
    kind = size.gguf.quantization
    return _UNPACKED / median(time_runs(lambda: unpack_zeros(kind, _UNPACKED), "cpu", _BUDGET))


def duration(size: ModelSize, run: RunSize, rates: Rates) -> StageSeconds:
    """Return the seconds of each stage of a run, and their sum.

    The model is on this machine's disk. Each token of the answer is generated in a step of its own,
    and then read as the prompt's are.
    """
    n, layers = run.tokens, size.layers
    head = 2.0 * size.width * size.vocabulary
    weights = size.active * run.itemsize + head / 2 * run.itemsize
    short_pass = max(2.0 * _PROBE * size.active / rates.product, weights / rates.copied)
    short_pass += _PROBE * head / rates.product + layers * CALLS
    between = n * between_products(size, run.itemsize) / rates.copied
    chunks = math.ceil(n / (run.chunk or n))
    visible = min(n, size.window or n)
    cache = 2 * layers * size.key_heads * size.head_size * visible * run.itemsize
    # The cache is read and written in each chunk, on average half full.
    growing = (chunks - 1) * (cache / rates.copied + layers * CALLS)
    scores = size.heads * visible * (n - visible / 2) * layers
    sweeps = (run.recording.tile is not None) + run.recording.received
    if run.recording.thumbnails is not None:  # from the same sweep where there is one
        sweeps = max(1, sweeps)
    lens_size = size.lens(run.itemsize, run.sites)
    products = lens_size.products(run.positions, rehearsed=run.answer > 0)
    products += lens_size.products(run.answer_positions)
    load = _START + 2 * size.parameters * (size.stored + run.itemsize) / rates.copied
    load += size.parameters / rates.unpacked
    check = _PASSES * short_pass
    prompt = 2.0 * n * size.active / rates.product + between + growing + scores / rates.scores
    sweep = sweeps * scores / rates.swept
    # Attention once more in every layer, as if each had sink keys, which the sweep hides.
    sweep += scores / rates.scores if run.recording.without_sinks else 0.0
    sweep += scores / rates.by_distance if run.recording.context else 0.0
    grown = cache * (n + run.answer / 2) / n  # read in each step
    step = weights / rates.copied + grown / rates.copied + layers * CALLS
    answer = run.answer * (step + 2.0 * size.active / rates.product)
    grown_scores = run.answer * size.heads * (visible + run.answer / 2) * layers
    answer += grown_scores / rates.scores
    answer += grown_scores / rates.swept if run.recording.received else 0.0
    lens = products / rates.lens if run.positions else 0.0
    tokens = n * head / rates.lens if run.recording.token_logprob else 0.0
    reference = _reference(size, run, rates)
    return {
        "load": load,
        "check": check,
        "read_the_prompt": prompt,
        "sweep_again": sweep,
        "answer": answer,
        "read_the_lens": lens,
        "token_logprobs": tokens,
        "read_the_reference": reference,
        "all": load + check + prompt + sweep + answer + lens + tokens + reference,
    }


def between_products(size: ModelSize, itemsize: int) -> int:
    """Return the bytes that a row reads and writes in all layers besides matrix products."""
    return size.layers * (24 * size.width + 4 * size.inner) * itemsize


def _reference(size: ModelSize, run: RunSize, rates: Rates) -> float:
    """Return the seconds of the placebo questions: their passes, and the lens after them."""
    own = run.reference
    if not own.questions:
        return 0.0
    weights = size.active * run.itemsize / rates.copied
    seconds = 2.0 * own.tokens * size.active / rates.product
    seconds = max(seconds, own.passes * weights) + own.passes * size.layers * CALLS
    scores = size.heads * own.pairs * size.layers
    seconds += scores / rates.scores
    if run.recording.without_sinks:
        seconds += scores / rates.swept + scores / rates.scores
    return seconds + size.lens(run.itemsize, run.sites).products(own.positions) / rates.lens
