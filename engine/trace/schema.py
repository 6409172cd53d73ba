"""The schema of a trace: its variables, its coordinates, and the roles of tokens."""

from __future__ import annotations

from attentropy.engine.trace.statistics import ATTENTION_STATISTICS
from attentropy.engine.trace.types import Schema

FORMAT = "attentropy.trace"
FORMAT_VERSION = 2  # since version 2 a trace has digests of its files

ROLES = ("bos", "eos", "template", "content", "generated", "padding")

_ATTENTION = ("layer", "head", "query")
_LENS = ("site", "layer", "position")
_WINDOW = ("layer", "window_head", "window_query", "window_key")
_SCORE = ("layer", "score_head")
_PROFILE = ("chunk", "layer", "part")

# Numbers of the windows requested with `--window`, in addition to the automatic `window`:
# window1, window2, …
REQUESTED_WINDOWS = tuple(range(1, 9))

# Entropies are in nats.
VARIABLES: Schema = {
    **{one.name: (_ATTENTION, "i" if one.is_key else "f") for one in ATTENTION_STATISTICS},
    "visible": (("layer", "query"), "i"),
    "window": (_WINDOW, "f"),
    "window_entropy": (_WINDOW, "f"),
    "map": (("layer", "map_head", "map_query", "map_key"), "f"),
    "received": (("layer", "received_head", "position"), "f"),
    "head_entropy": (_SCORE, "f"),
    "head_sink": (_SCORE, "f"),
    "head_local": (_SCORE, "f"),
    "head_previous": (_SCORE, "f"),
    "head_induction": (_SCORE, "f"),
    "head_diffuse": (_SCORE, "f"),
    "uniform_sink": (("layer",), "f"),
    "uniform_local": (("layer",), "f"),
    "uniform_previous": (("layer",), "f"),
    **{
        f"window{i}": (("layer", f"window_head{i}", f"window_query{i}", f"window_key{i}"), "f")
        for i in REQUESTED_WINDOWS
    },
    "profile_seconds": (_PROFILE, "f"),
    "profile_bytes": (_PROFILE, "f"),
    "profile_outside": (("chunk", "outside"), "f"),
    "lens_entropy": (_LENS, "f"),
    "lens_top_ids": ((*_LENS, "k"), "i"),
    "lens_top_logprobs": ((*_LENS, "k"), "f"),
    "lens_kl": (_LENS, "f"),
    "lens_target_logprob": (_LENS, "f"),
    "lens_rank": (_LENS, "i"),
    "rehearsal": (_LENS, "f"),
    "rehearsal_ids": (_LENS, "i"),
    "rehearsal_rank": (_LENS, "i"),
    "target_ids": (("position",), "i"),
    "generated_ids": (("step",), "i"),
    "generated_logprob": (("step",), "f"),
    "generated_content": (("step",), "i"),
}

COORDINATES: Schema = {
    "layer": (("layer",), "i"),
    "call": (("layer",), "i"),
    "heads": (("layer",), "i"),
    "attention_note": (("layer",), "s"),
    "head": (("head",), "i"),
    "query": (("query",), "i"),
    "position": (("position",), "i"),
    "site": (("site",), "s"),
    "window_head": (("window_head",), "i"),
    "window_query": (("window_query",), "i"),
    "window_key": (("window_key",), "i"),
    "map_head": (("map_head",), "i"),
    "map_query": (("map_query",), "i"),
    "map_key": (("map_key",), "i"),
    "received_head": (("received_head",), "i"),
    "score_head": (("score_head",), "i"),
    **{
        f"window_{part}{i}": ((f"window_{part}{i}",), "i")
        for i in REQUESTED_WINDOWS
        for part in ("head", "query", "key")
    },
    "chunk_start": (("chunk",), "i"),
    "chunk_stop": (("chunk",), "i"),
    "part": (("part",), "s"),
    "outside": (("outside",), "s"),
    "token_ids": (("position",), "i"),
    "token_text": (("position",), "s"),
    "role": (("position",), "s"),
    "byte_start": (("position",), "i"),
    "byte_end": (("position",), "i"),
    "generated_text": (("step",), "s"),
    "vocabulary_ids": (("vocabulary",), "i"),
    "vocabulary_text": (("vocabulary",), "s"),
}

# Without these a trace is not a trace.
REQUIRED = ("layer", "position", "token_ids", "token_text", "role")
