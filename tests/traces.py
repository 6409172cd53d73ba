"""Synthetic traces for tests, with every variable and with values drawn from a seed."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from attentropy.engine.trace.consolidated import consolidate
from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.digests import seal

CHAT = (
    "<|begin_of_text|>", "<|start_header_id|>", "user", "<|end_header_id|>", "\n\n",
    "What", " is", " the", " capital", " of", " Australia", "?",
    "<|eot_id|>", "<|start_header_id|>", "assistant", "<|end_header_id|>", "\n\n",
)  # fmt: skip


def chat_roles(tokens: Sequence[str]) -> list[str]:
    """Return the roles of a Llama-3 style chat: the user's words are content, the rest template."""
    start = tokens.index("\n\n") + 1
    stop = tokens.index("<|eot_id|>")
    return [
        "bos" if i == 0 else "content" if start <= i < stop else "template"
        for i in range(len(tokens))
    ]


def axes(layers: int, heads: int, tokens: Sequence[str], roles: Sequence[str]) -> dict[str, tuple]:
    """Return the coordinates of layers, heads and tokens, without the token ids."""
    n, i32, text = len(tokens), np.int32, np.dtypes.StringDType()
    sizes = np.array([len(token.encode()) for token in tokens])
    ends = np.cumsum(sizes)
    return {
        "layer": ("layer", np.arange(layers, dtype=i32)),
        "call": ("layer", np.zeros(layers, i32)),
        "heads": ("layer", np.full(layers, heads, i32)),
        "attention_note": ("layer", np.array([""] * layers, text)),
        "head": ("head", np.arange(heads, dtype=i32)),
        "query": ("query", np.arange(n, dtype=i32)),
        "position": ("position", np.arange(n, dtype=i32)),
        "site": ("site", np.array(["residual"], text)),
        "token_text": ("position", np.array(list(tokens), text)),
        "role": ("position", np.array(list(roles), text)),
        "byte_start": ("position", (ends - sizes).astype(np.int64)),
        "byte_end": ("position", ends.astype(np.int64)),
    }


def _attend(
    random: np.random.Generator, layers: int, heads: int, n: int, window: bool
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return the statistics of random causal rows, and their weights if `window`.

    One head at a time: the arrays of all heads of a long prompt would take gigabytes.
    """
    floats = ("entropy", "lse", "max_prob", "distance", "sink_mass")
    statistics = {name: np.empty((layers, heads, n), np.float32) for name in floats}
    statistics["top_key"] = np.empty((layers, heads, n), np.int32)
    weights = np.empty((layers, heads, n, n) if window else 0, np.float32)
    causal, positions = np.tril(np.ones((n, n), bool)), np.arange(n)
    for at in np.ndindex(layers, heads):
        scores = np.where(causal, random.normal(size=(n, n)) * 2, -np.inf)
        lse = np.log(np.exp(scores).sum(-1))
        p = np.exp(scores - lse[:, None])
        statistics["entropy"][at] = (-p * np.log(np.where(p > 0, p, 1.0))).sum(-1)
        statistics["lse"][at] = lse
        statistics["max_prob"][at] = p.max(-1)
        statistics["distance"][at] = (p * (positions[:, None] - positions)).sum(-1)
        statistics["sink_mass"][at] = p[:, :4].sum(-1)
        statistics["top_key"][at] = p.argmax(-1)
        if window:
            weights[at] = p
    return statistics, weights


def synthetic(
    tokens: Sequence[str] = CHAT,
    roles: Sequence[str] | None = None,
    *,
    layers: int = 6,
    heads: int = 3,
    k: int = 5,
    generated: Sequence[str] = ("Can", "berra", "<|eot_id|>"),
    words: Sequence[str] = ("France", "Canada", "Chile", "Sydney", "Can", "New", "Suva", " of"),
    window: bool = True,
    seed: int = 0,
    vocabulary: int = 2000,
) -> Trace:
    """Return a consistent trace: causal rows that sum to one, and entropies computed from them."""
    random = np.random.default_rng(seed)
    n = len(tokens)
    roles = list(roles) if roles is not None else chat_roles(list(tokens))
    positions = np.arange(n)
    attended, weights = _attend(random, layers, heads, n, window)

    ids = 100 + np.arange(len(words))
    top = np.argsort(random.random((1, layers, n, len(words))), axis=-1)[..., :k]
    depth = np.linspace(1, 0.05, layers)[None, :, None]
    lens_entropy = np.log(vocabulary) * depth * random.uniform(0.4, 1.0, (1, layers, n))
    logprobs = -np.sort(random.exponential(2, (1, layers, n, k)) + 0.05, axis=-1)
    logprobs -= np.maximum(np.log(np.exp(logprobs).sum(-1, keepdims=True)), 0)  # at most 1 in all

    attention = ("layer", "head", "query")
    lens = ("site", "layer", "position")
    f32, i32 = np.float32, np.int32
    data = {
        **{name: (attention, values) for name, values in attended.items()},
        "visible": (("layer", "query"), np.tile(positions + 1, (layers, 1)).astype(i32)),
        "lens_entropy": (lens, lens_entropy.astype(f32)),
        "lens_top_ids": ((*lens, "k"), ids[top].astype(i32)),
        "lens_top_logprobs": ((*lens, "k"), logprobs.astype(f32)),
        "lens_kl": (lens, (random.exponential(1, (1, layers, n)) * (1 - depth)).astype(f32)),
        "lens_target_logprob": (lens, logprobs[..., 0].astype(f32)),
        "lens_rank": (lens, np.zeros((1, layers, n), i32)),
        "rehearsal": (lens, logprobs[..., 1].astype(f32)),
        "rehearsal_ids": (lens, np.full((1, layers, n), ids[4 % len(ids)], i32)),
        "rehearsal_rank": (lens, random.integers(0, 40, (1, layers, n)).astype(i32)),
        "rehearsal_placebo": (lens, (logprobs[..., 1] - 3).astype(f32)),
        "target_ids": (("position",), random.choice(ids, n).astype(i32)),
        "generated_ids": (("step",), np.arange(len(generated)).astype(i32)),
        "generated_logprob": (("step",), np.full(len(generated), -0.1, f32)),
        "generated_content": (
            ("step",), np.array([not t.startswith("<|") for t in generated], np.int8)
        ),
    }  # fmt: skip
    if window:
        dims = ("layer", "window_head", "window_query", "window_key")
        data["window"] = (dims, weights)
    text = np.dtypes.StringDType()
    coords = {
        **axes(layers, heads, tokens, roles),
        "token_ids": ("position", np.arange(n, dtype=i32)),
        "generated_text": ("step", np.array(list(generated), text)),
        "vocabulary_ids": ("vocabulary", ids.astype(i32)),
        "vocabulary_text": ("vocabulary", np.array(list(words), text)),
    }
    if window:
        coords |= {
            "window_head": ("window_head", np.arange(heads, dtype=i32)),
            "window_query": ("window_query", positions.astype(i32)),
            "window_key": ("window_key", positions.astype(i32)),
        }
    attrs = {
        "model": {
            "name": "synthetic", "revision": None, "type": "llama", "layers": layers,
            "heads": heads, "kv_heads": heads, "hidden_size": 64, "vocabulary": vocabulary,
            "parameters": 12345, "dtype": "float32", "device": "cpu",
        },
        "tokenizer": {"sha256": "0" * 64, "chat_template_sha256": "1" * 64},
        "prompt": {"sha256": "2" * 64, "tokens": n, "chat": True},
        "answer": "".join(t for t in generated if not t.startswith("<|")),
        "implementation": "portable",
        "versions": {"attentropy": "0", "python": "3"},
        "options": {"top_k": k},
        "placebo": {"questions": 6, "tokens": 5},
        "notes": [],
    }  # fmt: skip
    return Trace(xr.Dataset(data, coords, attrs))


def save_synthetic(path: Path | str, **options: Any) -> Path:
    """Save `synthetic(**options)` at a path that does not exist, computed once per process."""
    path = Path(path)
    for name, content in _stored(path.name.endswith(".zip"), **options).items():
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return path


@lru_cache(maxsize=16)
def _stored(is_archive: bool, **options: Any) -> dict[str, bytes]:
    """Return the content of a trace's files by their names in it; an archive is named "."."""
    with tempfile.TemporaryDirectory() as folder:
        path = synthetic(**options).save(Path(folder) / ("t.zarr" + ".zip" * is_archive))
        files = [path] if is_archive else [p for p in path.rglob("*") if p.is_file()]
        return {p.relative_to(path).as_posix(): p.read_bytes() for p in files}


def sited(seed: int = 3, second: str = "mlp") -> Trace:
    """Return a trace with two lens sites, ranks of all sizes, and one cell without a rank."""
    data, other = synthetic(seed=seed).dataset, synthetic(seed=seed + 1).dataset
    lens = [name for name in data if data[name].dims[:1] == ("site",)]
    both = xr.concat([data[lens], other[lens].assign_coords(site=[second])], "site")
    random = np.random.default_rng(0)
    both["lens_rank"].values[:] = np.exp(random.uniform(0, 7, both["lens_rank"].shape)) - 1
    both["lens_rank"].values[0, 2, 6] = -1
    named = both.assign_coords(site=both["site"].values.astype(np.dtypes.StringDType()))
    rest = data.drop_vars([*lens, "site"])
    return Trace(xr.merge([rest, named], combine_attrs="override"))


def renumbered(trace: Trace, *others: Trace) -> Trace:
    """Return the trace with the token ids that other traces have for the same texts."""
    ids: dict[str, int] = {}
    for other in others:
        ids |= dict(zip(other.tokens, other["token_ids"].tolist(), strict=True))
    for text in trace.tokens:
        ids.setdefault(text, 1000 + len(ids))
    numbers = np.array([ids[text] for text in trace.tokens], np.int32)
    return Trace(trace.dataset.assign_coords(token_ids=("position", numbers)))


_NO_METADATA = (ValueError, AttributeError, TypeError, OSError, RecursionError)


def reseal(folder: Path) -> None:
    """Complete a store that was changed, as who made the change could: copies and digests fit."""
    with contextlib.suppress(*_NO_METADATA):
        consolidate(folder)
    seal(folder)


PARTS = ("attention", "kernel", "mlp", "other", "lens", "writing")


OUTSIDE = ("embedding", "norm", "head", "rest")


def profiled(layers=6, chunks=4, size=4096, lens=False):
    """Return a synthetic trace with a profile whose kernel takes longer in each later chunk."""
    random = np.random.default_rng(0)
    took = random.uniform(0.5, 1.5, (chunks, layers, len(PARTS))).astype(np.float32) * 1e-3
    took[:, :, 1] *= 1 + 4 * np.arange(chunks)[:, None]
    if not lens:
        took[:, :, 4] = np.nan
    outside = random.uniform(0.1, 0.2, (chunks, len(OUTSIDE))).astype(np.float32) * 1e-3
    starts = np.arange(chunks, dtype=np.int32) * size
    text = np.dtypes.StringDType()
    cells, parts = ("chunk", "layer", "part"), [p for p in PARTS if lens or p != "lens"]
    whole = float(np.nansum(took) + outside.sum())
    variant = {
        "seconds": [0.9 * whole, whole, 1.2 * whole], "tokens_per_second": chunks * size / whole,
        "kernel_seconds": [0.01, 0.011, 0.012], "kernel_flops_per_second": 6e14,
        "peak_bytes": 3_000_000,
    }  # fmt: skip
    ratio = {"whole": [1.01, 1.1, 1.2], "kernel": [1.02, 1.03, 1.04]}
    profile = {
        "tokens": chunks * size, "chunk": size, "repeat": 3, "interleaved": "pass by pass",
        "clock": "CUDA events", "memory": None, "random_weights": True, "stats": ["entropy"],
        "sites": [], "variants": {"recording": variant, "off": variant, "fused": variant},
        "ratios": {"off": ratio, "fused": ratio}, "fused_backend": "cudnn", "not_fused": None,
        "extra_bytes": 1_500_000, "whole_seconds": whole, "parts_off_by": -0.012,
        "parts_seconds": {p: float(np.nansum(took[:, :, PARTS.index(p)])) for p in parts},
        "kernel_flops": 1e15, "product_flops": 1e15, "product_flops_per_second": 5e14,
        "ceilings": {"flops_per_second": 8e14, "bytes_per_second": 4e12},
        "machine": {"device": "<b>GPU</b>", "threads": "2 of 4 cores", "time": "2026"},
    }  # fmt: skip
    data = synthetic(layers=layers).dataset
    data = data.assign(
        profile_seconds=(cells, took),
        profile_bytes=(cells, took * 1e9),
        profile_outside=(("chunk", "outside"), outside),
    )
    data = data.assign_coords(
        chunk_start=("chunk", starts), chunk_stop=("chunk", starts + size),
        part=("part", np.array(PARTS, text)), outside=("outside", np.array(OUTSIDE, text)),
    )  # fmt: skip
    return Trace(data.assign_attrs({**data.attrs, "profile": profile}))
