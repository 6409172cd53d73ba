"""The finding about the row that says the decisive word: which heads look at which words.

A head counts where a content word is the top key of the row, and of few other rows of the same
head: a key to which every row attends says nothing of this one. It is attention, and no cause.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from attentropy.engine.trace.audience import audience_of
from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.derived import once_per_trace
from attentropy.report.findings.finding import Observation, head_label, quoted
from attentropy.report.read.answer_words import read_answer
from attentropy.report.read.looked_at import holds_row, telling_row, word_text, words_before
from attentropy.report.units import count, percent, percent_against

LIFT = 2.0  # times as often as in the other rows: from there on a head counts
_NAMED = 3


@dataclass(frozen=True)
class LookingHead:
    """A head whose row has a content word as its top key.

    entry: along `layer`; head: its index; weight: of the key. share: of the other rows that see the
    word, how many have it as their top key in this head.
    """

    entry: int
    head: int
    weight: float
    share: float


@dataclass(frozen=True)
class WordLooked:
    """A content word with the heads that look at it more than their other rows do.

    The strongest head comes first.
    """

    text: str
    heads: tuple[LookingHead, ...]


@once_per_trace
def words_looked_at(trace: Trace) -> tuple[tuple[WordLooked, ...], int] | None:
    """Return the words that the telling row looks at by head, and how many heads were measured.

    The words with the most attention of such heads come first. None where the trace does not hold
    the top keys and their weights.
    """
    query = telling_row(trace)
    needed = ("max_prob", "visible")
    if not holds_row(trace, query) or any(name not in trace for name in needed):
        return None
    numbers, places = words_before(trace, query)
    looking: dict[int, list[LookingHead]] = {}
    measured = 0
    for entry in range(trace.dataset.sizes["layer"]):
        keys = trace.dataset["top_key"][entry].values
        own = keys[:, query]
        measured += int((own >= 0).sum())
        heads = np.flatnonzero((own >= 0) & (numbers[np.clip(own, 0, query)] >= 0) & (own <= query))
        if not heads.size:
            continue
        weights = trace.dataset["max_prob"][entry, :, query].values
        watchers = _rows_that_see(trace, entry, query)
        for head in heads.tolist():
            word = int(numbers[own[head]])
            share = _share(keys[head], np.array(places[word]), query, watchers)
            if share * LIFT <= 1 and np.isfinite(weights[head]):
                one = LookingHead(entry, head, float(weights[head]), share)
                looking.setdefault(word, []).append(one)
    words = [
        WordLooked(word_text(trace, places[word]), tuple(sorted(heads, key=lambda h: -h.weight)))
        for word, heads in looking.items()
    ]
    words.sort(key=lambda word: -sum(head.weight for head in word.heads))
    return tuple(words), measured


def _rows_that_see(trace: Trace, entry: int, query: int) -> np.ndarray:
    """Return how many other rows see each key of a layer, [position]; a key's own row is none."""
    visible = trace["visible"][entry]
    n = visible.size
    at = np.arange(n)
    is_seen = (at < query) & (at > query - int(visible[query]))
    return np.asarray(np.maximum(audience_of(visible, n).queries - 1 - is_seen, 0))


def _share(keys: np.ndarray, places: np.ndarray, query: int, watchers: np.ndarray) -> float:
    """Return the share of other rows whose top key is the word at `places`; `keys` [query].

    The sum over its tokens of the share of the rows that see the token; 0 where none does.
    """
    rows = np.delete(np.arange(keys.size), query)
    hits = keys[rows][keys[rows] != rows]
    counts = np.bincount(hits[hits >= 0], minlength=keys.size)[places]
    return float(
        np.where(watchers[places] > 0, counts / np.maximum(watchers[places], 1), 0.0).sum()
    )


def observe_looked(trace: Trace) -> Observation | None:
    """Return where the row that says the decisive word looks, by layer and head."""
    read = words_looked_at(trace)
    if read is None:
        return None
    words, measured = read
    query = telling_row(trace)
    answer = read_answer(trace)
    word = answer.decisive.word if answer is not None and answer.decisive is not None else ""
    row = f"row that says {quoted(word)}" if word else "last row of the prompt"
    where = f"{row} (position {query:,})"
    if not words:
        text = (
            f"At the {where}, no head attends most to a content word to which fewer than half of "
            "its other rows attend most."
        )
        return Observation(
            "looked", text, "max_prob", 0.0, "share", n=measured, is_found=False,
            view="attention", position=query,
        )  # fmt: skip
    text = (
        f"At the {where}, "
        + ", ".join(_words(trace, one, i, measured) for i, one in enumerate(words[:_NAMED]))
        + "."
    )
    best = words[0].heads[0]
    return Observation(
        "looked", text, "max_prob", best.weight, "share", n=measured, view="attention",
        layer=best.entry, position=query, head=int(trace["head"][best.head]), shows="max_prob",
    )  # fmt: skip


def _words(trace: Trace, one: WordLooked, index: int, measured: int) -> str:
    """Return one word with its heads; the first one says of how many, and what other rows do."""
    best = one.heads[0]
    label = head_label(trace, best.entry, int(trace["head"][best.head]))
    if index:
        share = f"{percent_against(best.weight, 1)}; {percent(best.share)}"
        return f"{len(one.heads):,} to {quoted(one.text)} ({label}: {share})"
    verb = "attends" if len(one.heads) == 1 else "attend"
    return (
        f"{len(one.heads):,} of {count(measured, 'head')} {verb} most to {quoted(one.text)} "
        f"(strongest: {label} with {percent_against(best.weight, 1)} of its attention; of its "
        f"other rows {percent(best.share)} do so)"
    )
