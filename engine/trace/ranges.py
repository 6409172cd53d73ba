"""The values that each variable of a trace can have: the ranges of `docs/definitions.md`, as data.

An end is a number, or one of `ENDS`, which depends on the trace: its tokens, its vocabulary, or how
many keys the query sees. Missing values (NaN) are in every range. `checks/limits.py` computes the
ends, and `checks/ranges.py` compares values with them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from attentropy.engine.trace.schema import ANSWER_SCORES, COORDINATES, REQUESTED_WINDOWS

End: TypeAlias = float | str

INFINITY = math.inf
_LARGEST = 2**31 - 1

# What the ends mean that are no numbers. "A, else B": A where no query sees a later key.
ENDS: Mapping[str, str] = {
    "N": "tokens of the trace",
    "N - 1": "the last position",
    "ln N": "ln of the tokens of the trace",
    "n": "tokens of the prompt",
    "ln V": "ln of the number of entries of the vocabulary",
    "V - 1": "the last rank",
    "layers - 1": "the last entry along `layer`",
    "last id": "V − 1; in a redacted trace, where numbers stand for ids, 2³¹ − 1",
    "ln visible": "ln of the number of keys that the query sees",
    "1 / visible": "the weight of each key where all weights are equal",
    "ln(visible - 1)^2 / 4 + 1": "no distribution over so many keys has more (arXiv 1304.0036)",
    "visible - 1, else N - 1": "a query's own key is at distance 0",
    "0, else 1 - N": "a later key has a negative distance",
    "query, else N - 1": "a query's own position",
    "queries, else n": "queries of the prompt that see the key; of a layer without attention, all",
    "-ln p": "of the token with nothing hidden, since no probability is above 1",
    "-ln p of the word": "the sum of these over the tokens of the word",
}


@dataclass(frozen=True)
class Total:
    """What values along the dimension `over` add up to at most.

    `of`: the values themselves, the probabilities that logarithms stand for ("exp"), or the masses
    that bytes stand for ("bytes").
    """

    over: str
    most: End = 1
    of: Literal["values", "exp", "bytes"] = "values"


@dataclass(frozen=True)
class Range:
    """The least and the largest value of a variable, and what its values add up to at most.

    `step`: the tolerance, 1e-4, is multiplied by it; see `checks/limits.py`. An infinite end
    excludes infinity itself, except where `reaches_infinity` is true.
    """

    low: End
    high: End
    total: Total | None = None
    step: Literal["1", "ln N", "N"] = "1"
    reaches_infinity: bool = False


_SHARE = Range(0, 1)
_KEYS = Range(-1, "query, else N - 1")
_NATS = Range(0, "ln visible")
_LENS = Range(0, "ln V")
# ln p; −inf is ln 0, of an entry that the model excludes.
_LOG = Range(-INFINITY, 0, reaches_infinity=True)
_IDS = Range(-1, "last id")
_RANKS = Range(-1, "V - 1")
_AMOUNT = Range(0, INFINITY)
_REAL = Range(-INFINITY, INFINITY)

_ATTENTION = {
    "entropy": _NATS,
    "max_prob": Range("1 / visible", 1),
    "max_logit": _REAL,
    "varentropy": Range(0, "ln(visible - 1)^2 / 4 + 1", step="ln N"),
    "distance": Range("0, else 1 - N", "visible - 1, else N - 1", step="N"),
    "sink_mass": _SHARE,
    "sink_prob": _SHARE,
    "top_key": _KEYS,
    # −inf where a query sees no key, inf where a score is infinite.
    "lse": Range(-INFINITY, INFINITY, reaches_infinity=True),
    "visible": Range(0, "N"),
    "received": Range(0, "queries, else n", Total("position", "n"), step="N"),
    "sink_keys": Range(-1, 1),
    "sink_key_mass": _SHARE,
    "entropy_without_sinks": _NATS,
    "top_key_without_sinks": _KEYS,
    "answer_attention": Range(0, 1, Total("position")),
    "context_mass": Range(0, 1, Total("context_bin")),
    "context_reach": _SHARE,
    "context_uniform": Range(0, 1, Total("context_bin")),
    "cache_heads": Range(-1, _LARGEST),
    "cache_bytes": Range(-1, _LARGEST),
    "cache_entry": Range(-1, "layers - 1"),
}
_MAPS = {
    "map": Range(0, 1, Total("map_key")),
    "thumbnail": Range(0, 255, Total("tile_k", of="bytes")),
    "window": Range(0, 1, Total("window_key")),
    "window_entropy": Range(0, 1 / math.e, Total("window_key", "ln N")),
    **{f"window{i}": Range(0, 1, Total(f"window_key{i}")) for i in REQUESTED_WINDOWS},
}
_HEADS = {
    "head_entropy": Range(0, "ln N"),
    **dict.fromkeys(
        ("head_sink", "head_local", "head_previous", "head_induction", "head_diffuse",
         "uniform_sink", "uniform_local", "uniform_previous"),
        _SHARE,
    ),
    **{f"head_answer_{name}": _SHARE for name in ANSWER_SCORES},
    "head_answer_entropy": Range(0, "ln N"),
    **{f"uniform_answer_{name}": _SHARE for name in ("sink", "local", "previous")},
}  # fmt: skip
_VOCABULARY = {
    "lens_entropy": _LENS,
    "lens_top_ids": _IDS,
    "lens_top_logprobs": Range(-INFINITY, 0, Total("k", of="exp"), reaches_infinity=True),
    "lens_kl": _AMOUNT,
    "lens_target_logprob": _LOG,
    "lens_rank": _RANKS,
    "rehearsal": _LOG,
    "rehearsal_ids": _IDS,
    "rehearsal_rank": _RANKS,
    "rehearsal_placebo": _LOG,
    "reference_tokens": Range(1, _LARGEST),
    "reference_entropy": _SHARE,
    "reference_entropy_without_sinks": _SHARE,
    "reference_lens_entropy": _LENS,
    "target_ids": _IDS,
    "token_logprob": _LOG,
    "generated_ids": _IDS,
    "generated_logprob": _LOG,
    "generated_rank": _RANKS,
    "generated_entropy": _LENS,
    "generated_content": Range(-1, 1),
}
_PROFILE = {
    "profile_seconds": _AMOUNT,
    "profile_bytes": _AMOUNT,
    "profile_outside": _AMOUNT,
}


def _of_coordinate(name: str) -> Range:
    """Return the range of an integer coordinate."""
    if name.startswith("byte"):
        return Range(-1, 2**63 - 1)
    if name in ("position", "query") or name.startswith(("window_q", "window_k", "map_q", "map_k")):
        return Range(0, "N - 1")
    if name in ("tile_q", "tile_k"):
        return Range(0, "N - 1")
    if name == "context_bin":
        return Range(-1, "N - 1")
    may_be_none = "head" in name or name.endswith("_ids") or name == "message"
    return Range(-1 if may_be_none else 0, _LARGEST)


# Every variable of `schema` that has numbers.
RANGES: Mapping[str, Range] = {
    **_ATTENTION, **_MAPS, **_HEADS, **_VOCABULARY, **_PROFILE,
    **{name: _of_coordinate(name) for name, (_, kind) in COORDINATES.items() if kind == "i"},
}  # fmt: skip

# Those of the sources; `checks/sources.py` checks how spans, words and labels fit together.
_EFFECT = Range(-INFINITY, "-ln p")
SOURCE_RANGES: Mapping[str, Range] = {
    **dict.fromkeys(
        ("effect_direct", "effect_with_copies", "effect_total", "effect_remove",
         "effect_sufficient", "effect_copies", "effect_from_layer", "effect_all_evidence",
         "effect_template"),
        _EFFECT,
    ),
    "effect_versus": _REAL,
    **dict.fromkeys(
        ("control_low", "control_high", "control_total_low", "control_total_high"),
        Range(-INFINITY, "-ln p of the word"),
    ),
    "logprob": Range(-INFINITY, 0),
    "attention_mass": _SHARE,
    "control_draws": Range(0, _LARGEST),
}  # fmt: skip


# Those of B - A where they are others: from minus the largest value to plus that. Of the top tokens
# a difference has one of A and one of B, so that their probabilities can add up to 2.
_DIFFERENCE_RANGES = {
    "entropy": Range("-ln N", "ln N"),
    "lens_entropy": Range("-ln V", "ln V"),
    "lens_top_logprobs": _LOG,
    "top_key": Range(-1, "N - 1"),
}


def of_difference(name: str) -> Range | None:
    """Return the range of a variable of a comparison; None for texts."""
    return _DIFFERENCE_RANGES.get(name, RANGES.get(name))
