"""The trace of a long prompt, made up: structure that a figure of any length can show."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.thumbnails import THUMBNAIL_TILES, encode_mass
from traces import axes


def long(
    n: int,
    *,
    layers: int = 4,
    heads: int = 4,
    read: int = 2048,
    tile: int | None = None,
    window: int = 128,
    k: int = 5,
    seed: int = 0,
    vocabulary: int = 128_256,
    thumbnails: bool = False,
) -> Trace:
    """Return the trace of a long chat of several turns, with structure that a figure can show.

    The structure is bands of high and low entropy, heads of different kinds, and a map with sinks,
    a diagonal and blocks. The lens read a sample of the positions.
    """
    random = np.random.default_rng(seed)
    f32, i32, text = np.float32, np.int32, np.dtypes.StringDType()
    tokens, roles = _turns(n, random)
    positions = np.arange(n)
    ceiling = np.log(positions + 1.0)

    # Common to all layers: bands a few hundred positions wide, and low values at template tokens.
    edges = np.sort(random.choice(n, max(2, n // 1500), replace=False))
    band = random.uniform(0.15, 0.95, edges.size + 1)[np.searchsorted(edges, positions, "right")]
    band = band + 0.08 * np.sin(positions / 37)
    band[[role != "content" for role in roles]] *= 0.35
    kinds = random.uniform(0.25, 1.05, (layers, heads))
    kinds[:, 0], kinds[:, -1] = 0.08, 1.02  # one sink and one diffuse head per layer
    depth = 0.75 + 0.25 * np.cos(np.linspace(0, 2 * np.pi, layers))
    entropy = np.empty((layers, heads, n), f32)
    for layer in range(layers):
        for head in range(heads):
            noise = random.normal(1, 0.12, n).astype(f32)
            share = np.clip(kinds[layer, head] * depth[layer] * (0.35 + 0.65 * band) * noise, 0, 1)
            entropy[layer, head] = share * ceiling

    lens = ("site", "layer", "position")
    at = _read(roles, read)
    words = [f" word{i}" for i in range(400)]
    shape = (1, layers, n)
    fall = np.linspace(1, 0.15, layers)[:, None]
    values = {
        "lens_entropy": np.full(shape, np.nan, f32), "lens_kl": np.full(shape, np.nan, f32),
        "lens_rank": np.full(shape, -1, i32), "lens_top_ids": np.full((*shape, k), -1, i32),
        "lens_top_logprobs": np.full((*shape, k), np.nan, f32),
    }  # fmt: skip
    values["lens_entropy"][0][:, at] = (
        np.log(vocabulary)
        * fall
        * (0.3 + 0.6 * band[at] + random.normal(0, 0.03, (layers, at.size))).clip(0.01, 1)
    )
    values["lens_kl"][0][:, at] = random.exponential(1, (layers, at.size)) * fall
    values["lens_rank"][0][:, at] = random.integers(0, 50, (layers, at.size))
    values["lens_top_ids"][0][:, at] = random.integers(0, 400, (layers, at.size, k))
    logs = -np.sort(random.exponential(1.5, (layers, at.size, k)) + 0.05, axis=-1)
    logs -= np.log(np.exp(logs).sum(-1, keepdims=True) + 0.05)  # the rest of the vocabulary: 5 %
    values["lens_top_logprobs"][0][:, at] = logs
    # Rehearsal of the answer at the last dummy tokens grows with the layer.
    values |= {
        "rehearsal": np.full(shape, np.nan, f32), "rehearsal_ids": np.full(shape, -1, i32),
        "rehearsal_rank": np.full(shape, -1, i32),
    }  # fmt: skip
    values["rehearsal"][0, :, -5:] = np.log(np.linspace(1e-3, 0.6, layers))[:, None] - 0.2
    values["rehearsal_ids"][0, :, -5:] = 1
    values["rehearsal_rank"][0, :, -5:] = np.linspace(900, 0, layers).astype(i32)[:, None]
    target_ids = random.integers(0, 400, n).astype(i32)

    side = tile or max(1, 1 << int(np.ceil(np.log2(n / 192))))
    weights = _map(n, side, layers, random)
    received = _received(weights, side, n, random)
    rows = min(window, n)
    exact = _causal(layers, rows, random)
    scored = ("layer", "score_head")
    log_visible, last64 = ceiling[1:], np.minimum(1, 64 / (positions + 1)).mean()
    data = {
        "entropy": (("layer", "head", "query"), entropy),
        "visible": (("layer", "query"), np.tile(positions + 1, (layers, 1)).astype(i32)),
        **{name: (lens if v.ndim == 3 else (*lens, "k"), v) for name, v in values.items()},
        "target_ids": (("position",), target_ids),
        "generated_ids": (("step",), np.ones(1, i32)),
        "generated_content": (("step",), np.ones(1, np.int8)),
        "window": (("layer", "window_head", "window_query", "window_key"), exact[:, None]),
        "map": (("layer", "map_head", "map_query", "map_key"), weights[:, None]),
        "received": (("layer", "received_head", "position"), received[:, None]),
        "head_entropy": (scored, entropy[..., 1:].mean(-1)),
        "head_diffuse": (scored, (entropy[..., 1:] / log_visible).mean(-1).astype(f32)),
        "head_sink": (scored, random.beta(0.6, 3, (layers, heads)).astype(f32)),
        "head_local": (scored, random.beta(0.7, 2, (layers, heads)).astype(f32)),
        "head_previous": (scored, random.beta(0.4, 4, (layers, heads)).astype(f32)),
        "head_induction": (scored, np.full((layers, heads), np.nan, f32)),
        "uniform_sink": (("layer",), np.full(layers, (1 / (positions + 1)).mean(), f32)),
        "uniform_local": (("layer",), np.full(layers, last64, f32)),
        "uniform_previous": (("layer",), np.full(layers, (1 / (positions + 1)).mean(), f32)),
    }  # fmt: skip
    if thumbnails:
        data["thumbnail"] = (("layer", "head", "tile_q", "tile_k"), _thumbnails(layers, heads))
    starts = np.arange(0, n, side, dtype=i32)
    coords = {
        **axes(layers, heads, tokens, roles),
        "token_ids": ("position", random.integers(0, vocabulary, n).astype(i32)),
        "generated_text": ("step", np.array([" word1"], text)),
        "vocabulary_ids": ("vocabulary", np.arange(400, dtype=i32)),
        "vocabulary_text": ("vocabulary", np.array(words, text)),
        "window_head": ("window_head", np.array([-1], i32)),
        "window_query": ("window_query", np.arange(n - rows, n, dtype=i32)),
        "window_key": ("window_key", np.arange(n - rows, n, dtype=i32)),
        "map_head": ("map_head", np.array([-1], i32)),
        "map_query": ("map_query", starts),
        "map_key": ("map_key", starts),
        "received_head": ("received_head", np.array([-1], i32)),
        "score_head": ("score_head", np.arange(heads, dtype=i32)),
    }
    if thumbnails:
        first = (np.arange(THUMBNAIL_TILES) * n // THUMBNAIL_TILES).astype(i32)
        coords |= {"tile_q": ("tile_q", first), "tile_k": ("tile_k", first)}
    attrs = {
        "model": {
            "name": "synthetic-long", "revision": None, "type": "llama", "layers": layers,
            "heads": heads, "kv_heads": heads, "hidden_size": 64, "vocabulary": vocabulary,
            "parameters": 8_030_261_248, "dtype": "bfloat16", "device": "cpu",
        },
        "tokenizer": {"sha256": "0" * 64, "chat_template_sha256": "1" * 64},
        "prompt": {"sha256": "2" * 64, "tokens": n, "chat": True},
        "answer": " word1",
        "implementation": "portable",
        "versions": {"attentropy": "0", "python": "3"},
        "options": {"top_k": k, "map_tile": [side, side]},
        "notes": [],
    }  # fmt: skip
    return Trace(xr.Dataset(data, coords, attrs))


def _turns(n: int, random: np.random.Generator) -> tuple[list[str], list[str]]:
    """Return tokens and roles of turns of some thousand words; the assistant's header is last."""
    head = ["<|start_header_id|>", "user", "<|end_header_id|>", "\n\n"]
    tail = ["<|eot_id|>", "<|start_header_id|>", "assistant", "<|end_header_id|>", "\n\n"]
    tokens, roles = ["<|begin_of_text|>"], ["bos"]
    words = [f" w{i}" for i in range(3000)]
    room = n - len(tail)
    while len(tokens) < room:
        size = min(room - len(tokens), int(random.integers(max(1, n // 9), max(2, n // 5))))
        opening = head if size > 2 * len(head) else []
        body = random.zipf(1.3, size - len(opening)) % len(words)
        tokens += opening + [words[i] for i in body]
        roles += ["template"] * len(opening) + ["content"] * body.size
    return tokens + tail, roles + ["template"] * len(tail)


def _read(roles: Sequence[str], count: int) -> np.ndarray:
    """Return the positions that a lens reads of a long prompt: template, tail, even sample."""
    n = len(roles)
    template = np.flatnonzero(np.array(roles) != "content")
    even = np.linspace(0, n - 1, max(1, count // 2)).astype(int)
    return np.unique(np.concatenate([template, even, np.arange(max(0, n - count // 2), n)]))


def _map(n: int, side: int, layers: int, random: np.random.Generator) -> np.ndarray:
    """Return tiles whose rows sum to 1, with a sink, a diagonal and blocks left of the diagonal."""
    rows = -(-n // side)
    i, j = np.indices((rows, rows))
    out = np.empty((layers, rows, rows), np.float32)
    for layer in range(layers):
        mass = 0.02 + 4 * np.exp(-(i - j) / 1.5) + random.exponential(0.05, (rows, rows))
        mass[:, 0] += 1 + rows / 3
        for _ in range(5):
            q, k = np.sort(random.integers(0, rows, 2))[::-1]
            mass[q : q + rows // 12, k : k + rows // 30] += 3
        mass *= j <= i
        out[layer] = mass / mass.sum(1, keepdims=True)
    return out


def _thumbnails(layers: int, heads: int) -> np.ndarray:
    """Return random tiles below the diagonal, whose bytes no compression makes smaller."""
    random = np.random.default_rng(1)
    mass = np.tril(random.exponential(1, (layers, heads, THUMBNAIL_TILES, THUMBNAIL_TILES)))
    return encode_mass(mass / mass.sum(-1, keepdims=True))


def _received(weights: np.ndarray, side: int, n: int, random: np.random.Generator) -> np.ndarray:
    """Return column sums that add up to the number of queries, with peaks at single keys."""
    queries = np.diff(np.append(np.arange(0, n, side), n))
    total = np.einsum("lqk,q->lk", weights, queries)
    tile = np.arange(n) // side
    within = random.exponential(1, n) ** 2 + 0.05
    share = within / np.bincount(tile, within)[tile]
    return (total[:, tile] * share).astype(np.float32)


def _causal(layers: int, rows: int, random: np.random.Generator) -> np.ndarray:
    """Return exact weights of the last queries on the last keys; each row sums to 0.6."""
    scores = random.normal(size=(layers, rows, rows)) * 2
    i, j = np.indices((rows, rows))
    scores = np.where(j <= i, scores - (i - j) / 16, -np.inf)
    p = np.exp(scores - scores.max(-1, keepdims=True))
    return (0.6 * p / p.sum(-1, keepdims=True)).astype(np.float32)
