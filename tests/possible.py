"""What the values of `complete` may be, by the definitions: written down apart from the checks.

`ends` has the least and the largest value of each variable at one place, computed from the sizes of
that trace alone. `impossible_numbers` reads the numbers of a page.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Callable, Mapping

from attentropy.engine.trace.schema import ANSWER_SCORES, REQUESTED_WINDOWS
from complete import CHAT, LAYERS, TOKENS

N, PROMPT, VOCABULARY, INTEGER = len(TOKENS), len(CHAT), 2000, 2**31 - 1
At = Mapping[str, int]  # the index along each dimension
Ends = tuple[float, float]


def _varentropy(at: At) -> Ends:
    keys = at["query"] + 1
    return 0, 0 if keys == 1 else math.log(max(keys - 1, 1)) ** 2 / 4 + 1


# Query i of `complete` sees the keys 0 … i.
_NATS: Callable[[At], Ends] = lambda at: (0, math.log(at["query"] + 1))  # noqa: E731
_KEY: Callable[[At], Ends] = lambda at: (-1, at["query"])  # noqa: E731


def _always(low: float, high: float) -> Callable[[At], Ends]:
    return lambda at: (low, high)


_SHARE, _LENS = _always(0, 1), _always(0, math.log(VOCABULARY))
_ID, _LOG, _ANY = _always(-1, VOCABULARY - 1), _always(-math.inf, 0), _always(0, math.inf)

ENDS: dict[str, Callable[[At], Ends]] = {
    "entropy": _NATS,
    "max_prob": lambda at: (1 / (at["query"] + 1), 1),
    "max_logit": _always(-math.inf, math.inf),
    "varentropy": _varentropy,
    "distance": lambda at: (0, at["query"]),
    "sink_mass": _SHARE,
    "sink_prob": _SHARE,
    "top_key": _KEY,
    "lse": _always(-math.inf, math.inf),
    "visible": _always(0, N),
    "received": lambda at: (0, max(0, PROMPT - at["position"])),
    "sink_keys": _always(-1, 1),
    "sink_key_mass": _SHARE,
    "entropy_without_sinks": _NATS,
    "top_key_without_sinks": _KEY,
    "answer_attention": _SHARE,
    "context_mass": _SHARE,
    "context_reach": _SHARE,
    "context_uniform": _SHARE,
    "cache_heads": _always(-1, INTEGER),
    "cache_bytes": _always(-1, INTEGER),
    "cache_entry": _always(-1, LAYERS - 1),
    "map": _SHARE,
    "thumbnail": _always(0, 255),
    "window": _SHARE,
    **{f"window{i}": _SHARE for i in REQUESTED_WINDOWS},
    "window_entropy": _always(0, 1 / math.e),
    **{f"head_{name}": _SHARE
       for name in ("sink", "local", "previous", "induction", "diffuse")},
    **{f"head_answer_{name}": _SHARE for name in ANSWER_SCORES},
    "head_entropy": _always(0, math.log(N)),
    "head_answer_entropy": _always(0, math.log(N)),
    **{f"uniform_{name}": _SHARE for name in ("sink", "local", "previous")},
    **{f"uniform_answer_{name}": _SHARE for name in ("sink", "local", "previous")},
    "profile_seconds": _ANY, "profile_bytes": _ANY, "profile_outside": _ANY,
    "lens_entropy": _LENS,
    "lens_top_ids": _ID,
    "lens_top_logprobs": _LOG,
    "lens_kl": _ANY,
    "lens_target_logprob": _LOG,
    "lens_rank": _ID,
    "rehearsal": _LOG, "rehearsal_ids": _ID, "rehearsal_rank": _ID, "rehearsal_placebo": _LOG,
    "reference_tokens": _always(1, INTEGER),
    "reference_entropy": _SHARE,
    "reference_entropy_without_sinks": _SHARE,
    "reference_lens_entropy": _LENS,
    "target_ids": _ID,
    "token_logprob": _LOG,
    "generated_ids": _ID,
    "generated_logprob": _LOG,
    "generated_rank": _ID,
    "generated_entropy": _LENS,
    "generated_content": _always(-1, 1),
}  # fmt: skip

# Rows that add up to at most so much: the dimension, and the sum.
SUMS = {
    "window": ("window_key", 1.0), "map": ("map_key", 1.0), "thumbnail": ("tile_k", 1.0),
    "answer_attention": ("position", 1.0), "context_mass": ("context_bin", 1.0),
    "context_uniform": ("context_bin", 1.0),
    "received": ("position", float(PROMPT)),
    "lens_top_logprobs": ("k", 1.0), "window_entropy": ("window_key", math.log(N)),
    **{f"window{i}": (f"window_key{i}", 1.0) for i in REQUESTED_WINDOWS},
}  # fmt: skip

_NUMBER = r"[-−+]?\d[\d,]*(?:\.\d+)?"
_WORDS = re.compile(r"\b(NaN|nan|Infinity|undefined)\b|(?<![\w])[-−+]?inf(?![\w])")
_SHARES = re.compile(rf"({_NUMBER})[ \u00a0]%")
_PARTS = re.compile(rf"(?<![\w.])({_NUMBER}) of (?:the )?({_NUMBER})(?![\w.])")
_NATS_TEXT = re.compile(rf"({_NUMBER})[ \u00a0]nats")
_UNIT = re.compile(rf"(?:(?<!ln )\bp = |normalized entropy(?: is)? )({_NUMBER})")


def _value(text: str) -> float:
    return float(text.replace(",", "").replace("−", "-"))


def visible_text(page: str) -> str:
    """Return what a reader sees of a page: no scripts, no styles, no tags."""
    text = re.sub(r"<(script|style|template)\b.*?</\1>", " ", page, flags=re.S)
    attributes = re.findall(r'\b(?:aria-label|alt|title)="([^"]*)"', text)
    return html.unescape(re.sub(r"<[^>]*>", "\n", text) + "\n" + "\n".join(attributes))


def impossible_numbers(page: str) -> list[str]:
    """Return what a page prints that no definition allows, with the words around it."""
    text = visible_text(page)

    def around(match: re.Match[str]) -> str:
        return text[max(0, match.start() - 40) : match.end() + 20].replace("\n", " ")

    bad = [around(match) for match in _WORDS.finditer(text)]
    bad += [around(m) for m in _SHARES.finditer(text) if not 0 <= _value(m[1]) <= 100]
    bad += [around(m) for m in _PARTS.finditer(text)
            if not 0 <= _value(m[1]) <= _value(m[2]) or _value(m[2]) == 0]  # fmt: skip
    bad += [around(m) for m in _NATS_TEXT.finditer(text) if abs(_value(m[1])) > 1e3]
    bad += [around(m) for m in _UNIT.finditer(text) if not 0 <= _value(m[1]) <= 1]
    return bad
