"""A trace with every variable that a trace can have, each with values that a recording gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from attentropy.engine.trace.context import bin_starts
from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.schema import ANSWER_SCORES, REQUESTED_WINDOWS
from attentropy.engine.trace.thumbnails import encode_mass
from sources_of import with_sources
from traces import CHAT, OUTSIDE, PARTS, chat_roles, synthetic

ANSWER = ("Can", "berra", "<|eot_id|>")
TOKENS = (*CHAT, *ANSWER)
LAYERS, HEADS, TILE = 2, 2, 5
_ATTENTION = ("layer", "head", "query")
_LENS = ("site", "layer", "position")


def complete(seed: int = 0, *, profile: bool = False) -> Trace:
    """Return the trace of a chat with an answer of three tokens; `profile` adds its measurements.

    Its rows of attention are those of `window`, from which its other statistics follow.
    """
    roles = [*chat_roles(CHAT), "generated", "generated", "generated"]
    trace = synthetic(TOKENS, roles, layers=LAYERS, heads=HEADS, seed=seed, generated=ANSWER)
    random = np.random.default_rng(seed)
    data = trace.dataset
    weights = data["window"].values.astype(np.float64)
    data = data.assign(
        {
            **_attention(weights, random),
            **_maps(weights),
            **_context(weights),
            **_heads(random),
            **_lens(data, random),
        }
    )
    data = data.assign_coords(_coordinates())
    data = data.assign_coords(
        message=("position", np.zeros(len(TOKENS), np.int32)),
    )
    prompt = {**data.attrs["prompt"], "tokens": len(CHAT)}
    data = data.assign_attrs(prompt=prompt)
    if profile:
        data = _with_profile(data, random)
    return with_sources(Trace(data), versus="Sydney", seed=seed)


def _attention(weights: np.ndarray, random: np.random.Generator) -> dict[str, Any]:
    """Return the statistics of rows that `synthetic` leaves out.

    weights: [layer, head, query, key].
    """
    n, prompt = len(TOKENS), len(CHAT)
    log = np.log(np.where(weights > 0, weights, 1.0))
    entropy = -(weights * log).sum(-1)
    received = np.full((LAYERS, 1, n), np.nan)
    received[:, 0, :prompt] = weights[:, :, :prompt, :prompt].sum(2).mean(1)
    sinks = np.full((LAYERS, n), -1)
    sinks[:, :prompt] = 0
    sinks[:, 0] = 1
    others = weights.copy()
    others[..., 0] = 0
    mass = others.sum(-1)
    others[:, :, 1:] /= mass[:, :, 1:, None]
    without = -(others * np.log(np.where(others > 0, others, 1.0))).sum(-1)
    without[:, :, 0] = np.nan
    key_mass = 1 - mass
    key_mass[:, :, 0] = np.nan
    top = others.argmax(-1)
    top[:, :, 0] = -1
    f32 = np.float32
    return {
        "varentropy": (_ATTENTION, ((weights * log**2).sum(-1) - entropy**2).astype(f32)),
        "max_logit": (_ATTENTION, random.normal(2, 3, entropy.shape).astype(f32)),
        "sink_prob": (_ATTENTION, random.uniform(0, 1, entropy.shape).astype(f32)),
        "received": (("layer", "received_head", "position"), received.astype(f32)),
        "sink_keys": (("layer", "position"), sinks.astype(np.int32)),
        "sink_key_mass": (_ATTENTION, key_mass.astype(f32)),
        "entropy_without_sinks": (_ATTENTION, without.astype(f32)),
        "top_key_without_sinks": (_ATTENTION, top.astype(np.int32)),
        "answer_attention": (
            ("layer", "answer_head", "position"),
            weights[:, :, prompt - 1 : -1].mean(2).astype(f32),
        ),
        "token_logprob": (("query",), np.r_[np.nan, -random.exponential(2, n - 1)].astype(f32)),
    }  # fmt: skip


def _maps(weights: np.ndarray) -> dict[str, Any]:
    prompt, f32 = len(CHAT), np.float32
    starts = np.arange(0, prompt, TILE)
    own = weights[:, :, :prompt, :prompt]
    rows = np.minimum(TILE, prompt - starts)
    tiles = np.add.reduceat(np.add.reduceat(own, starts, 2), starts, 3) / rows[:, None]
    dims = ("layer", "window_head", "window_query", "window_key")
    share = -(weights * np.log(np.where(weights > 0, weights, 1.0)))
    return {
        "map": (("layer", "map_head", "map_query", "map_key"), tiles.mean(1)[:, None].astype(f32)),
        "thumbnail": (("layer", "head", "tile_q", "tile_k"), encode_mass(tiles)),
        "window_entropy": (dims, share.astype(f32)),
        **{
            f"window{i}": (
                ("layer", f"window_head{i}", f"window_query{i}", f"window_key{i}"),
                weights[:, :, 3:6, :4].astype(f32),
            )
            for i in REQUESTED_WINDOWS
        },
    }


def _context(weights: np.ndarray) -> dict[str, Any]:
    n = len(CHAT)
    own, starts = weights[:, :, :n, :n], bin_starts(n)[1:]
    distance = np.arange(n)[:, None] - np.arange(n)
    number = np.searchsorted(starts, distance, "right")
    number[:, :4] = 0
    sees = np.tril(np.ones((n, n)) / np.arange(1, n + 1)[:, None])
    uniform = [(sees * (number == b)).sum(-1).mean() for b in range(len(starts) + 1)]
    mass = [(own * (number == b)).sum(-1).mean(-1) for b in range(len(starts) + 1)]
    farthest = np.maximum(np.arange(n) - 4, -1)
    reach = [1.0, *((farthest >= start).mean() for start in starts)]
    return {
        "context_mass": (
            ("layer", "context_head", "context_bin"), np.stack(mass, -1).astype(np.float32),
        ),
        "context_reach": (
            ("layer", "context_bin"), np.tile(np.array(reach, np.float32), (LAYERS, 1)),
        ),
        "context_uniform": (
            ("layer", "context_bin"), np.tile(np.array(uniform, np.float32), (LAYERS, 1)),
        ),
        "cache_heads": (("layer",), np.full(LAYERS, HEADS, np.int32)),
        "cache_bytes": (("layer",), np.full(LAYERS, 256, np.int32)),
        "cache_entry": (("layer",), np.arange(LAYERS, dtype=np.int32)),
    }  # fmt: skip


def _heads(random: np.random.Generator) -> dict[str, Any]:
    names = ["entropy", "sink", "local", "previous", "induction", "diffuse"]
    names += [f"answer_{name}" for name in ANSWER_SCORES]
    shares = ("sink", "local", "previous")
    uniform = [*shares, *(f"answer_{name}" for name in shares)]
    return {
        **{
            f"head_{name}": (
                ("layer", "score_head"), random.uniform(0, 1, (LAYERS, HEADS)).astype(np.float32),
            )
            for name in names
        },
        **{
            f"uniform_{name}": (("layer",), random.uniform(0, 1, LAYERS).astype(np.float32))
            for name in uniform
        },
    }  # fmt: skip


def _lens(data: xr.Dataset, random: np.random.Generator) -> dict[str, Any]:
    steps, f32, i32 = len(ANSWER), np.float32, np.int32
    return {
        "reference_tokens": (("reference",), np.array([17, 18, 19, 16], i32)),
        **{
            f"reference_{name}": (
                ("reference", "layer"), random.uniform(0, 1, (4, LAYERS)).astype(f32),
            )
            for name in ("entropy", "entropy_without_sinks", "lens_entropy")
        },
        "generated_rank": (("step",), np.zeros(steps, i32)),
        "generated_entropy": (("step",), random.uniform(0, 5, steps).astype(f32)),
    }  # fmt: skip


def _coordinates() -> dict[str, Any]:
    i32, starts = np.int32, np.arange(0, len(CHAT), TILE)
    return {
        "received_head": ("received_head", np.array([-1], i32)),
        "answer_head": ("answer_head", np.arange(HEADS, dtype=i32)),
        "map_head": ("map_head", np.array([-1], i32)),
        "score_head": ("score_head", np.arange(HEADS, dtype=i32)),
        "context_head": ("context_head", np.arange(HEADS, dtype=i32)),
        "context_bin": ("context_bin", bin_starts(len(CHAT)).astype(i32)),
        **{name: (name, starts.astype(i32)) for name in ("map_query", "map_key")},
        **{name: (name, starts.astype(i32)) for name in ("tile_q", "tile_k")},
        **{
            f"window_{part}{i}": (f"window_{part}{i}", np.arange(start, stop, dtype=i32))
            for i in REQUESTED_WINDOWS
            for part, start, stop in (("head", 0, HEADS), ("query", 3, 6), ("key", 0, 4))
        },
    }


def _with_profile(data: xr.Dataset, random: np.random.Generator) -> xr.Dataset:
    """Return the arrays with those of a profile; the attribute that a page draws is not there."""
    cells, text = ("chunk", "layer", "part"), np.dtypes.StringDType()
    took = random.uniform(0.5, 1.5, (2, LAYERS, len(PARTS))).astype(np.float32)
    data = data.assign(
        profile_seconds=(cells, took),
        profile_bytes=(cells, took * 1e6),
        profile_outside=(("chunk", "outside"), took[:, 0, : len(OUTSIDE)]),
    )
    starts = np.array([0, 9], np.int32)
    return data.assign_coords(
        chunk_start=("chunk", starts), chunk_stop=("chunk", starts + 9),
        part=("part", np.array(PARTS, text)), outside=("outside", np.array(OUTSIDE, text)),
    )  # fmt: skip
