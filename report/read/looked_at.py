"""Which content words one row of attention looks at most, in the upper half of the layers.

It says where the model looked, and not why it answered. Sink keys are left out. A word counts with
all places at which it stands before the row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from attentropy.engine.trace.content_words import bare_word, content_keys
from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.derived import once_per_trace
from attentropy.engine.trace.readable import is_redacted
from attentropy.engine.trace.sink_keys import sink_keys
from attentropy.engine.trace.statistics import TOP_KEY_WITHOUT_SINKS
from attentropy.engine.trace.units import starts_word
from attentropy.report.read.answer_words import read_answer
from attentropy.report.read.maps import window_names

LEAST = 0.05  # of the heads have the strongest word as their top key, or none is named
CLOSE = 0.4  # of the strongest word's attention, or heads: those that are named with it
NAMED = 3
PARKED, PARKED_ROWS = 0.1, 64
_NEVER = ("bos", "eos", "template", "padding")


@dataclass(frozen=True)
class LookedWord:
    """A content word that a row looks at.

    text: as it is written first; positions: its tokens before the row. heads: how many heads of the
    upper half have it as their top key; weight: the attention that it receives there, the mean over
    heads, None where the row's weights are not in the trace.
    """

    text: str
    positions: tuple[int, ...]
    heads: int
    weight: float | None


@dataclass(frozen=True)
class LookedAt:
    """What the row of `query` looks at, in the model's layers `layers` (first, last).

    heads: how many of them have values there. words: all content words before the row, the
    strongest first.
    """

    query: int
    layers: tuple[int, int]
    heads: int
    words: tuple[LookedWord, ...]

    @property
    def named(self) -> tuple[LookedWord, ...]:
        """The words that a sentence names: a few that are close to the strongest one.

        None where the strongest is the top key of few heads.
        """
        if not self.words or self.words[0].heads < max(2, LEAST * self.heads):
            return ()
        most = self._strength(self.words[0])
        close = (one for one in self.words if self._strength(one) >= CLOSE * most)
        return tuple(one for one in close if one.heads)[:NAMED]

    @staticmethod
    def _strength(word: LookedWord) -> float:
        return word.heads if word.weight is None else word.weight


def telling_row(trace: Trace) -> int:
    """Return the position whose output is the decisive word, or the token after the prompt."""
    answer = read_answer(trace)
    if answer is not None and answer.decisive is not None:
        return answer.decisive.query
    return trace.prompt_tokens - 1


@once_per_trace
def looked_at(trace: Trace) -> LookedAt | None:
    """Return what the telling row looks at; None where the trace does not hold it.

    Words are ranked by the row's weights where a window holds all of them, and else by the number
    of heads whose top key they are, sink keys left out.
    """
    query = telling_row(trace)
    if not holds_row(trace, query):
        return None
    entries = upper_half(trace, query)
    numbers, places = words_before(trace, query)
    keys = [top_keys_of_row(trace, entry, query) for entry in entries]
    measured = sum(int((own >= 0).sum()) for own in keys)
    if not measured:
        return None
    counts = np.bincount(np.concatenate([own[own >= 0] for own in keys]), minlength=query + 1)
    heads = _sums(counts, numbers)
    weights = _weights(trace, entries, query, numbers)
    words = [
        LookedWord(
            word_text(trace, at), tuple(at), int(heads[i]),
            None if weights is None else float(weights[i]),
        )
        for i, at in enumerate(places)
    ]  # fmt: skip
    words.sort(key=lambda one: (-(one.weight or 0.0), -one.heads, one.positions))
    ends = (int(trace["layer"][entries[0]]), int(trace["layer"][entries[-1]]))
    return LookedAt(query, ends, measured, tuple(words))


def holds_row(trace: Trace, query: int) -> bool:
    """Return whether a trace has the top keys of each head at a position, and its texts."""
    if "top_key" not in trace or is_redacted(trace) or not 0 < query < len(trace.tokens):
        return False
    return trace.dataset.sizes["query"] == len(trace.tokens) and bool((trace["head"] >= 0).all())


def upper_half(trace: Trace, query: int) -> list[int]:
    """Return the entries along `layer` of the model's upper half that have values of a row."""
    entries = np.flatnonzero((trace.dataset["top_key"][:, :, query].values >= 0).any(1))
    model = trace.attrs.get("model")
    number = model.get("layers") if isinstance(model, dict) else None
    layers = trace["layer"]
    if not isinstance(number, int):
        number = int(layers.max(initial=0)) + 1
    return [int(i) for i in entries if layers[i] >= number // 2]


def top_keys_of_row(trace: Trace, entry: int, query: int) -> np.ndarray:
    """Return the top key of each head in one row [head], sink keys left out; −1: none."""
    keys: np.ndarray = trace.dataset["top_key"][entry, :, query].values
    if TOP_KEY_WITHOUT_SINKS in trace:
        others = trace.dataset[TOP_KEY_WITHOUT_SINKS][entry, :, query].values
        return np.where(others >= 0, others, keys)
    sinks = sink_keys(trace)
    if sinks is None:
        return keys
    return np.where(np.isin(keys, np.flatnonzero(sinks.is_sink[entry])), -1, keys)


def _parked(trace: Trace, query: int) -> set[int]:
    """Return the keys of a long prompt to which many rows attend whatever they say.

    Those that receive at least `PARKED` of the attention in the upper half of the layers, from
    `PARKED_ROWS` or more: no sink keys, since they belong to a content word, but they tell nothing
    of one row.
    """
    sinks, entries = sink_keys(trace), upper_half(trace, query)
    if sinks is None or not entries:
        return set()
    share = np.nan_to_num(sinks.share[entries]).mean(0)
    keys = np.flatnonzero(share >= PARKED)
    return {int(key) for key in keys if trace.prompt_tokens - key >= PARKED_ROWS}


def words_before(trace: Trace, query: int) -> tuple[np.ndarray, list[list[int]]]:
    """Return the number of the content word of each position up to a row, −1 for none.

    And the positions of each word. The word that the row itself stands in has no place there, and
    no key does to which many rows attend.
    """
    tokens, roles = trace.tokens[: query + 1], trace.roles[: query + 1]
    keys = content_keys(tokens, roles)
    own = int(np.flatnonzero(starts_word(tokens, roles))[-1])
    numbers, hidden = np.full(query + 1, -1), _parked(trace, query)
    places: dict[str, list[int]] = {}
    for i, key in enumerate(keys[:own]):
        if key and roles[i] not in _NEVER and i not in hidden:
            places.setdefault(key, []).append(i)
    for number, at in enumerate(places.values()):
        numbers[at] = number
    return numbers, list(places.values())


def _sums(values: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Return the sum of values [position] over each word."""
    inside = numbers >= 0
    return np.bincount(numbers[inside], values[inside], int(numbers.max(initial=-1)) + 1)


def _weights(
    trace: Trace, entries: list[int], query: int, numbers: np.ndarray
) -> np.ndarray | None:  # fmt: skip
    """Return the attention of a row on each word, the mean over heads; None where not recorded."""
    for name in window_names(trace):
        queries, keys = trace[f"window_query{name[6:]}"], trace[f"window_key{name[6:]}"]
        rows = np.flatnonzero(queries == query)
        if rows.size and int(keys[0]) == 0 and len(keys) > query:
            sinks = sink_keys(trace)
            layers = []
            for entry in entries:
                own = trace.dataset[name][entry, :, int(rows[0]), : query + 1].values
                row = np.nan_to_num(own.astype(np.float64).mean(0))
                if sinks is not None:
                    prompt = sinks.is_sink.shape[1]
                    row[:prompt][sinks.is_sink[entry][: query + 1]] = 0
                layers.append(_sums(row, numbers))
            return np.asarray(np.mean(layers, 0))
    return None


def word_text(trace: Trace, positions: Sequence[int]) -> str:
    """Return a word as it is written at the first of its places."""
    return bare_word("".join(trace.tokens[i] for i in _first_run(positions)))


def _first_run(positions: Sequence[int]) -> Sequence[int]:
    """Return the first positions that follow each other: one place of a word."""
    stop = next((i for i in range(1, len(positions)) if positions[i] > positions[i - 1] + 1), None)
    return positions[:stop]
