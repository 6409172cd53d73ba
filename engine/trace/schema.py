"""The schema of a trace: its variables, its coordinates, and the roles of tokens."""

from __future__ import annotations

from attentropy.engine.trace.sources import GROUP, SOURCES
from attentropy.engine.trace.statistics import (
    ATTENTION_STATISTICS,
    TOKEN_LOGPROB,
    WITHOUT_SINKS,
    is_key,
)
from attentropy.engine.trace.types import Form, Schema

FORMAT = "attentropy.trace"
# Since version 2 a trace has digests of its files; since version 3 its group's metadata has a copy
# of its arrays' metadata; since version 4 the tokens of the answer follow those of the prompt.
FORMAT_VERSION = 4

ROLES = (
    "bos", "eos", "template", "content", "reasoning", "image", "generated", "padding",
)  # fmt: skip

_ATTENTION = ("layer", "head", "query")
_LENS = ("site", "layer", "position")
_WINDOW = ("layer", "window_head", "window_query", "window_key")
_SCORE = ("layer", "score_head")
_PROFILE = ("chunk", "layer", "part")

# Numbers of the windows requested with `--window`, in addition to the automatic `window`:
# window1, window2, …
REQUESTED_WINDOWS = tuple(range(1, 9))

# Scores of the heads over the answer's tokens; induction is measured on a text of its own.
ANSWER_SCORES = ("entropy", "sink", "local", "previous", "diffuse")

# Entropies are in nats.
VARIABLES: Schema = {
    **{one.name: (_ATTENTION, "i" if one.is_key else "f") for one in ATTENTION_STATISTICS},
    "visible": (("layer", "query"), "i"),
    "window": (_WINDOW, "f"),
    "window_entropy": (_WINDOW, "f"),
    "map": (("layer", "map_head", "map_query", "map_key"), "f"),
    "thumbnail": (("layer", "head", "tile_q", "tile_k"), "i"),
    "received": (("layer", "received_head", "position"), "f"),
    "sink_keys": (("layer", "position"), "i"),
    **{name: (_ATTENTION, "i" if is_key(name) else "f") for name in WITHOUT_SINKS},
    "answer_attention": (("layer", "answer_head", "position"), "f"),
    "context_mass": (("layer", "context_head", "context_bin"), "f"),
    "context_reach": (("layer", "context_bin"), "f"),
    "context_uniform": (("layer", "context_bin"), "f"),
    "cache_heads": (("layer",), "i"),
    "cache_bytes": (("layer",), "i"),
    "cache_entry": (("layer",), "i"),
    "head_entropy": (_SCORE, "f"),
    "head_sink": (_SCORE, "f"),
    "head_local": (_SCORE, "f"),
    "head_previous": (_SCORE, "f"),
    "head_induction": (_SCORE, "f"),
    "head_diffuse": (_SCORE, "f"),
    "uniform_sink": (("layer",), "f"),
    "uniform_local": (("layer",), "f"),
    "uniform_previous": (("layer",), "f"),
    **{f"head_answer_{name}": (_SCORE, "f") for name in ANSWER_SCORES},
    **{f"uniform_answer_{name}": (("layer",), "f") for name in ("sink", "local", "previous")},
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
    "rehearsal_placebo": (_LENS, "f"),
    "reference_tokens": (("reference",), "i"),
    "reference_entropy": (("reference", "layer"), "f"),
    "reference_entropy_without_sinks": (("reference", "layer"), "f"),
    "reference_lens_entropy": (("reference", "layer"), "f"),
    "target_ids": (("position",), "i"),
    TOKEN_LOGPROB: (("query",), "f"),
    "generated_ids": (("step",), "i"),
    "generated_logprob": (("step",), "f"),
    "generated_rank": (("step",), "i"),
    "generated_entropy": (("step",), "f"),
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
    "tile_q": (("tile_q",), "i"),
    "tile_k": (("tile_k",), "i"),
    "received_head": (("received_head",), "i"),
    "answer_head": (("answer_head",), "i"),
    "score_head": (("score_head",), "i"),
    "context_head": (("context_head",), "i"),
    "context_bin": (("context_bin",), "i"),
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
    "message": (("position",), "i"),
    "segment": (("position",), "s"),
    "byte_start": (("position",), "i"),
    "byte_end": (("position",), "i"),
    "generated_text": (("step",), "s"),
    "vocabulary_ids": (("vocabulary",), "i"),
    "vocabulary_text": (("vocabulary",), "s"),
}

# Without these a trace is not a trace.
REQUIRED = ("layer", "position", "token_ids", "token_text", "role")

TRACE = Form(
    FORMAT, FORMAT_VERSION, "a trace", "open it with Trace.open", {**VARIABLES, **COORDINATES},
    optional={GROUP: SOURCES},
)  # fmt: skip
# A saved comparison: two traces, and which positions of A and of B are one token.
COMPARISON = Form(
    "attentropy.comparison", 1, "a saved comparison of two traces",
    "draw it with attentropy render or export, or open it with attentropy.open",
    {"match_a": (("match",), "i"), "match_b": (("match",), "i")}, {"a": TRACE, "b": TRACE},
)  # fmt: skip
