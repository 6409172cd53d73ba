"""How long a run will take here, from a second's measurement of the machine.

Five rates, each at the model's own shapes: matrix products, the copying of memory, attention with
its statistics, a further sweep over its scores, and the lens's reading of the vocabulary.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median

import torch

from attentropy.engine.cost.size import ModelSize, RunSize
from attentropy.engine.measure.sampling import seconds
from attentropy.kernels.ops import attention, vocabulary
from attentropy.kernels.sweep import attention_map

_BUDGET = 0.25  # seconds of measuring, each
_ROWS = 512
_COLUMNS = 16_384  # of the vocabulary that the lens's measurement reads
_TILE = 128  # of the map that is measured
_PROBE = 16
_PASSES = 6  # of the check before the run, each over the probe
_START = 0.5  # seconds until the libraries have read configuration, tokenizer and code
_CALLS = 1e-3  # seconds a layer's calls take in a pass that computes next to nothing


@dataclass(frozen=True)
class Rates:
    """A second's worth: FLOP of products and of the lens, bytes copied, scores of attention and of
    a further sweep."""

    product: float
    copied: float
    scores: float
    lens: float
    swept: float = math.inf


def rates(size: ModelSize, run: RunSize, device: torch.device, dtype: torch.dtype) -> Rates:
    """Measured now, in about a second; other work on the machine slows it as it would the run."""

    def made(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, device=device, dtype=dtype)

    def timed(work: object) -> float:
        return median(seconds(work, device.type, _BUDGET))  # type: ignore[arg-type]

    rows = min(run.tokens, _ROWS)
    # Logits of about 1, as a model's: far apart, their exponentials would be subnormal, and slow.
    x, w = made(rows, size.width) * size.width**-0.5, made(size.inner, size.width)
    product = 2 * rows * size.width * size.inner / timed(lambda: x @ w.T)
    block = made(2**22)
    copied = 2 * block.nbytes / timed(block.clone)
    n = min(run.tokens, 1024)
    q = made(1, size.heads, n, size.head_size)
    k = made(1, size.key_heads, n, size.head_size)
    stats = tuple(name for name in run.kept.stats if name != "lse")
    pairs = size.heads * n * (n + 1) / 2
    scores = pairs / timed(lambda: attention(q, k, k, stats=stats))
    lse = attention(q, k, k, stats=()).lse
    swept = pairs / timed(lambda: attention_map(q, k, lse, tile=min(n, _TILE), heads="mean"))
    columns = min(size.vocabulary, _COLUMNS)
    head, targets = made(columns, size.width), torch.zeros(rows, device=device, dtype=torch.int64)
    read = timed(lambda: vocabulary(x, head, top_k=5, targets=targets, final=x))
    return Rates(product, copied, scores, 2 * 2 * rows * size.width * columns / read, swept)


def duration(size: ModelSize, run: RunSize, rates: Rates, steps: int = 8) -> dict[str, float]:
    """Seconds of each stage of a run whose model is on this machine's disk, and their sum.

    `steps` tokens are generated.
    """
    n, layers = run.tokens, size.layers
    head = 2.0 * size.width * size.vocabulary
    weights = size.active * run.itemsize + head / 2 * run.itemsize
    short = max(2.0 * _PROBE * size.active / rates.product, weights / rates.copied)
    short += _PROBE * head / rates.product + layers * _CALLS
    between = n * layers * (24 * size.width + 4 * size.inner) * run.itemsize / rates.copied
    chunks = math.ceil(n / (run.chunk or n))
    kept_keys = min(n, size.window or n)
    cache = 2 * layers * size.key_heads * size.head_size * kept_keys * run.itemsize
    growing = (chunks - 1) * (cache / rates.copied + layers * _CALLS)  # read and written, half full
    seen = min(n, size.window or n)
    scores = size.heads * seen * (n - seen / 2) * layers
    sweeps = (run.kept.tile is not None) + run.kept.received
    cost = size.lens(run.itemsize, run.sites).cost(run.positions, n)
    found = {
        "load": _START + 2 * size.parameters * (size.stored + run.itemsize) / rates.copied,
        "check": _PASSES * short,
        "read_the_prompt": (
            2.0 * n * size.active / rates.product + between + growing + scores / rates.scores
        ),
        "sweep_again": sweeps * scores / rates.swept,
        "answer": steps * (weights / rates.copied + layers * _CALLS),
        "read_the_lens": cost.flops / rates.lens if run.positions else 0.0,
    }
    return found | {"all": sum(found.values())}
