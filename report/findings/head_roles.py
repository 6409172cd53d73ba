"""What each head does, in one word: the label of its cell in the grid of all heads."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from attentropy.engine.trace.content_words import content_keys
from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.derived import once_per_trace
from attentropy.engine.trace.readable import is_redacted
from attentropy.engine.trace.units import starts_word
from attentropy.report.compare.difference import Difference
from attentropy.report.findings.scored_heads import IDLE_QUERIES, head_limit, idle_shares
from attentropy.report.read.answer_words import read_answer
from attentropy.report.read.maps import score_names
from attentropy.report.read.sources import read_sources
from attentropy.report.read.tested_words import NO_EFFECT, Effect
from attentropy.report.read.top_keys import top_keys
from attentropy.report.text import for_sentence

# A head has the first of these kinds that it is; "" for none.
KINDS = (
    "", "source", "previous", "induction", "word", "open", "seen", "sink", "local", "diffuse",
)  # fmt: skip
_SCORED = ("previous", "induction", "sink", "local", "diffuse")
# Where sources were tested: "source" attends most to one in the layers that read it, "seen" to
# one that has no effect there; "open" to a word of which that was not tested.
NAMED_KINDS = ("source", "word", "open", "seen")
# What a head gives a word at least, for its label to be the word.
WORD_WEIGHT = 0.2
_WORDS_OF = ("content", "reasoning", "generated")  # roles of tokens whose words are named
_LETTERS = 24  # of a word


@dataclass(frozen=True)
class HeadRoles:
    """The kind of each head, an index into `KINDS`, and the word that it attends to.

    heads: the numbers of the columns, −1 for the mean over heads. kinds [layer, column]; words are
    by layer and column, "" for none: what the row of `query` attends to most besides sink keys,
    where it is a content word with at least `WORD_WEIGHT`; `query` is the row that says the
    answer's decisive word, else the prompt's last, and `where` names it.
    """

    heads: tuple[int, ...]
    kinds: np.ndarray
    words: tuple[tuple[str, ...], ...]
    query: int
    where: str

    def label(self, entry: int, column: int) -> str:
        """Return the label of a head: its word after an arrow, or its kind."""
        kind = KINDS[self.kinds[entry, column]]
        return f"→ {self.words[entry][column]}" if kind in NAMED_KINDS else kind


def head_columns(trace: Trace) -> tuple[int, ...]:
    """Return the numbers of the heads that have scores, else of those that were recorded."""
    if isinstance(trace, Difference):
        return ()
    names = score_names(trace)
    if names:
        count = trace.dataset[f"head_{names[0]}"].shape[1]
        return (
            tuple(int(h) for h in trace["score_head"])
            if "score_head" in trace
            else (*range(count),)
        )
    return tuple(int(head) for head in trace["head"]) if "thumbnail" in trace else ()


@once_per_trace
def head_roles(trace: Trace) -> HeadRoles:
    """Return what each head of a trace does."""
    heads = head_columns(trace)
    layers = trace.dataset.sizes["layer"]
    query, where = _deciding_row(trace)
    keys = _word_keys(trace, heads, query)
    names = _names(trace, {int(key) for key in keys.ravel() if key >= 0})
    words = tuple(tuple(names.get(int(key), "") for key in row) for row in keys)
    is_kind = _attending(trace, keys, np.array([[bool(w) for w in row] for row in words], bool))
    for name in _SCORED:
        variable = f"head_{name}"
        values = trace[variable] if variable in trace else np.full((layers, len(heads)), np.nan)
        is_kind[name] = np.nan_to_num(values, nan=-1.0) > head_limit(trace, name)
    idle = idle_shares(trace)
    if idle is not None:
        is_kind["sink"] = is_kind["sink"] | (_on_columns(trace, heads, idle, 0) > IDLE_QUERIES)
    kinds = np.zeros((layers, len(heads)), np.int8)
    for i, name in reversed(list(enumerate(KINDS))):
        if name:
            kinds[is_kind[name]] = i
    kinds.flags.writeable = False
    return HeadRoles(heads, kinds, words, query, where)


def _on_columns(
    trace: Trace, heads: tuple[int, ...], values: np.ndarray, missing: float
) -> np.ndarray:
    """Return values [layer, recorded head] of the columns, `missing` for heads not recorded."""
    recorded = {int(head): i for i, head in enumerate(trace["head"])}
    own = np.full((len(values), len(heads)), missing, values.dtype)
    for column, head in enumerate(heads):
        if head in recorded:
            own[:, column] = values[:, recorded[head]]
    return np.nan_to_num(own, nan=missing) if values.dtype.kind == "f" else own


def _deciding_row(trace: Trace) -> tuple[int, str]:
    """Return the row that says the answer's decisive word, and its name in a sentence."""
    answer = read_answer(trace)
    if answer is None or answer.decisive is None:
        return trace.prompt_tokens - 1, "at the prompt's last token"
    word = answer.decisive.word
    where = (
        f"where the model says “{for_sentence(word, _LETTERS)}”" if word else "before the answer"
    )
    return answer.decisive.query, where


def _word_keys(trace: Trace, heads: tuple[int, ...], query: int) -> np.ndarray:
    """Return the key that each head attends to in the row `query`, [layer, column]; −1: none.

    It is the top key besides sink keys, where it has at least `WORD_WEIGHT`.
    """
    if "top_key" not in trace or "max_prob" not in trace or not 0 <= query < len(trace.tokens):
        return np.full((trace.dataset.sizes["layer"], len(heads)), -1)
    keys = _on_columns(trace, heads, top_keys(trace, slice(None), slice(None), query), -1)
    keys[_on_columns(trace, heads, _least_weight(trace, query), 0) < WORD_WEIGHT] = -1
    return keys


def _attending(trace: Trace, keys: np.ndarray, has_word: np.ndarray) -> dict[str, np.ndarray]:
    """Return which heads attend to a word, by kind; whether that matters, where it was tested."""
    sources = read_sources(trace)
    none = np.zeros(keys.shape, bool)
    if sources is None or sources.main.start < 0:  # of a text that the model did not write
        return {"word": has_word, "source": none, "open": none, "seen": none}
    effects, is_read = sources.main.effects, none.copy()
    is_tested = np.isin(keys, _places(effects, lambda one: bool(np.isfinite(one.hidden))))
    is_seen = np.isin(keys, _places(effects, lambda one: one.label in NO_EFFECT))
    for effect in sources.main.sources:
        own = np.isin(keys, [*range(effect.span.start, effect.span.stop), *effect.span.copies])
        if effect.reads is None:  # nobody knows in which layers
            is_tested, is_seen = is_tested & ~own, is_seen & ~own
        else:
            first, last = effect.reads
            is_read[first : last + 1] |= own[first : last + 1]
            is_tested, is_seen = is_tested | own, is_seen | own
    is_seen &= has_word & ~is_read
    is_open = has_word & ~is_tested & ~is_read
    return {"word": none, "source": is_read, "open": is_open, "seen": is_seen}


def _places(effects: Iterable[Effect], has: Callable[[Effect], bool]) -> list[int]:
    """Return the positions of the spans whose effect is such a one."""
    return [p for one in effects if has(one) for p in range(one.span.start, one.span.stop)]


def _least_weight(trace: Trace, query: int) -> np.ndarray:
    """Return at least how much a row gives its top key besides sink keys, [layer, head].

    Exact where that is the largest weight of all. Elsewhere the row without sink keys has the mass
    1 − m and the entropy H, and its largest weight is (1 − m) e^−H or more.
    """
    at = (slice(None), slice(None), query)
    largest = trace.dataset["max_prob"][at].values.astype(np.float64)
    others = top_keys(trace, *at)
    is_largest = others == trace.dataset["top_key"][at].values
    if "sink_key_mass" not in trace or "entropy_without_sinks" not in trace:
        return np.where(is_largest, largest, 0.0)
    mass = trace.dataset["sink_key_mass"][at].values.astype(np.float64)
    entropy = trace.dataset["entropy_without_sinks"][at].values.astype(np.float64)
    return np.where(is_largest, largest, np.nan_to_num((1 - mass) * np.exp(-entropy)))


def _names(trace: Trace, keys: set[int]) -> dict[int, str]:
    """Return the content words at some keys; in a redacted trace the position stands for it."""
    tokens, roles = trace.tokens, trace.roles
    if is_redacted(trace):
        return {k: f"position {k:,}" for k in keys if roles[k] in _WORDS_OF}
    content = content_keys(tokens, roles)
    ends = np.append(np.flatnonzero(starts_word(tokens, roles)), len(tokens))
    names = {}
    for key in sorted(keys):
        if content[key] and roles[key] in _WORDS_OF:
            i = int(np.searchsorted(ends, key, "right"))
            word = "".join(tokens[ends[i - 1] : ends[i]]).strip()
            names[key] = for_sentence(word, _LETTERS)
    return names
