"""Synthetic traces for tests: every variable present, values drawn from a seed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from attentropy.engine.trace import Trace

CHAT = (
    "<|begin_of_text|>", "<|start_header_id|>", "user", "<|end_header_id|>", "\n\n",
    "What", " is", " the", " capital", " of", " Australia", "?",
    "<|eot_id|>", "<|start_header_id|>", "assistant", "<|end_header_id|>", "\n\n",
)  # fmt: skip


def chat_roles(tokens: Sequence[str]) -> list[str]:
    """Roles of a Llama-3 style chat: the user's words are content, the rest template."""
    start = tokens.index("\n\n") + 1
    stop = tokens.index("<|eot_id|>")
    return [
        "bos" if i == 0 else "content" if start <= i < stop else "template"
        for i in range(len(tokens))
    ]


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
    """A consistent trace: causal rows that sum to one, entropies computed from them."""
    random = np.random.default_rng(seed)
    n = len(tokens)
    roles = list(roles) if roles is not None else chat_roles(list(tokens))
    scores = random.normal(size=(layers, heads, n, n)) * 2
    scores = np.where(np.tril(np.ones((n, n), bool)), scores, -np.inf)
    lse = np.log(np.exp(scores).sum(-1))
    p = np.exp(scores - lse[..., None])
    share = -p * np.log(np.where(p > 0, p, 1.0))
    positions = np.arange(n)
    distance = (p * (positions[:, None] - positions[None, :])).sum(-1)

    ids = 100 + np.arange(len(words))
    top = np.argsort(random.random((1, layers, n, len(words))), axis=-1)[..., :k]
    depth = np.linspace(1, 0.05, layers)[None, :, None]
    lens_entropy = np.log(vocabulary) * depth * random.uniform(0.4, 1.0, (1, layers, n))
    logprobs = -np.sort(random.exponential(2, (1, layers, n, k)) + 0.05, axis=-1)

    attention = ("layer", "head", "query")
    lens = ("site", "layer", "position")
    f32, i32 = np.float32, np.int32
    data = {
        "entropy": (attention, share.sum(-1).astype(f32)),
        "lse": (attention, lse.astype(f32)),
        "max_prob": (attention, p.max(-1).astype(f32)),
        "distance": (attention, distance.astype(f32)),
        "sink_mass": (attention, p[..., :4].sum(-1).astype(f32)),
        "top_key": (attention, p.argmax(-1).astype(i32)),
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
        "target_ids": (("position",), random.choice(ids, n).astype(i32)),
        "generated_ids": (("step",), np.arange(len(generated)).astype(i32)),
        "generated_logprob": (("step",), np.full(len(generated), -0.1, f32)),
        "generated_content": (
            ("step",), np.array([not t.startswith("<|") for t in generated], np.int8)
        ),
    }  # fmt: skip
    if window:
        dims = ("layer", "window_head", "window_query", "window_key")
        data["window"] = (dims, p.astype(f32))
    sizes = np.array([len(token.encode()) for token in tokens])
    ends = np.cumsum(sizes)
    text = np.dtypes.StringDType()
    coords = {
        "layer": ("layer", np.arange(layers, dtype=i32)),
        "call": ("layer", np.zeros(layers, i32)),
        "heads": ("layer", np.full(layers, heads, i32)),
        "attention_note": ("layer", np.array([""] * layers, text)),
        "head": ("head", np.arange(heads, dtype=i32)),
        "query": ("query", positions.astype(i32)),
        "position": ("position", positions.astype(i32)),
        "site": ("site", np.array(["residual"], text)),
        "token_ids": ("position", np.arange(n, dtype=i32)),
        "token_text": ("position", np.array(list(tokens), text)),
        "role": ("position", np.array(roles, text)),
        "byte_start": ("position", (ends - sizes).astype(np.int64)),
        "byte_end": ("position", ends.astype(np.int64)),
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
        "notes": [],
    }  # fmt: skip
    return Trace(xr.Dataset(data, coords, attrs))
