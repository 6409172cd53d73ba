"""From which layer on the lens's top token is the token that the model writes next.

Spellings that differ in a leading blank or in case count as one token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.lens_skill import READABLE, lens_skill
from attentropy.engine.trace.readable import is_redacted
from attentropy.report.findings.finding import Observation, layer_name, quoted
from attentropy.report.read.answer_words import read_answer
from attentropy.report.read.layer_words import layers_in_words
from attentropy.report.units import count, fixed

_EARLIER = 3  # top tokens of earlier layers that a sentence names
_UNREADABLE = f"its skill is under {READABLE:g}"


@dataclass(frozen=True)
class Settled:
    """Where the lens settles on a token at one position.

    query: the position whose output it is. text: of the token; word: that it begins, if it is
    longer, "" otherwise. entries: the layers that the lens read there; first: the entry from which
    on its top token is the token, None where it is not in the last one; readable: the first entry
    from there on whose lens is readable. tops: the lens's top tokens, probabilities: theirs, both
    [layer]. has_last: whether the last entry is the model's last layer.
    """

    query: int
    text: str
    word: str
    entries: list[int]
    first: int | None
    readable: int | None
    is_readable: np.ndarray
    tops: list[str]
    probabilities: np.ndarray
    has_last: bool

    @property
    def is_only_last(self) -> bool:
        """Whether no readable layer before the last one has the token."""
        return self.readable is not None and self.readable == self.entries[-1]


def settling(trace: Trace) -> np.ndarray:
    """Return the first layer from which on the lens's top token is the model's own prediction.

    As an entry along `layer`, [position] float64; NaN where no layer was read, or where the last
    one that was read has another top token.
    """
    is_read = np.isfinite(trace.lens("lens_entropy"))
    rows = np.flatnonzero(is_read.any(1))
    if not rows.size:
        return np.full(is_read.shape[1], np.nan)
    is_target = _is_top(trace, trace["target_ids"])[rows] & is_read[rows]
    run = np.cumprod(is_target[::-1], axis=0).sum(0)
    return np.where(run > 0, rows[rows.size - np.maximum(run, 1)], np.nan)


def median_layer(trace: Trace) -> tuple[float, int] | None:
    """Return the median over the prompt of the layer where the model's own prediction settles.

    A layer whose lens is not readable does not count. With the number of positions; None where it
    settles nowhere.
    """
    entries = settling(trace)[: trace.prompt_tokens]
    entries = _from_readable(trace, entries[np.isfinite(entries)].astype(int))
    return (float(np.median(trace["layer"][entries])), entries.size) if entries.size else None


def _from_readable(trace: Trace, entries: np.ndarray) -> np.ndarray:
    """Return for each entry along `layer` the first one from there on whose lens is readable.

    Without any it is the last one; where that is not measured, the entry itself.
    """
    skill = lens_skill(trace)
    if skill is None:
        return entries
    readable = np.append(np.flatnonzero(skill.is_readable), len(trace["layer"]) - 1)
    return np.asarray(readable[np.searchsorted(readable[:-1], entries)])


def settled(trace: Trace) -> Settled | None:
    """Return where the lens settles on the decisive token of the answer.

    Without an answer it is the model's prediction at the prompt's end. None where the trace has no
    lens of the residual stream, or the lens did not read the position.
    """
    needed = ("lens_entropy", "lens_top_ids", "lens_top_logprobs", "lens_rank", "target_ids")
    if any(name not in trace for name in needed) or trace.site != "residual":
        return None
    query, token, word = _wanted(trace)
    if query >= len(trace.tokens) or token < 0:
        return None
    here = slice(query, query + 1)
    entries = np.flatnonzero(np.isfinite(trace.lens("lens_entropy", here)[:, 0])).tolist()
    if not entries or not trace.lens("lens_top_ids", here).shape[-1]:
        return None
    is_token = _is_top(trace, np.array([token]), here)[:, 0]
    others = [i for i in entries if not is_token[i]]
    first = next((i for i in entries if not others or i > others[-1]), None)
    skill = lens_skill(trace)
    is_readable = np.ones(len(is_token), bool) if skill is None else skill.is_readable
    text = trace.text_of([token])[0] or _generated_text(trace, query)
    model = trace.attrs.get("model")
    number = model.get("layers") if isinstance(model, dict) else None
    return Settled(
        query=query,
        text=text,
        word=word if word and word != text.strip() else "",
        entries=entries,
        first=first,
        readable=next((i for i in entries if first is not None and i >= first and is_readable[i]),
                      None),
        is_readable=is_readable,
        tops=trace.text_of(trace.lens("lens_top_ids", here)[:, 0, 0]),
        probabilities=np.exp(trace.lens("lens_top_logprobs", here)[:, 0, 0].astype(np.float64)),
        has_last=not isinstance(number, int) or int(trace["layer"][entries[-1]]) == number - 1,
    )  # fmt: skip


def observe_settled(trace: Trace) -> Observation | None:
    """Return from which layer on the lens's top token is the decisive one, as a finding."""
    if "lens_rank" not in trace or trace.site != "residual":
        return None
    place = settled(trace)
    if place is None:
        query = _wanted(trace)[0]
        if query >= len(trace.tokens):
            return None
        text = (
            "Where the lens settles was not measured: it did not read position "
            f"{query:,}, after which the model writes the decisive token."
        )
        return Observation("settled", text, "settling layer", unit="layer", is_found=False)
    at = place.entries[-1] if place.readable is None else place.readable
    text = f"After {_quoted(trace.tokens[place.query])} (position {place.query:,}) "
    is_found = place.readable is not None and not place.is_only_last
    text += _where(trace, place) if place.readable is not None else _nowhere(trace, place)
    if place.first is not None and (median := median_layer(trace)) is not None:
        layer, n = median
        if place.has_last and layer == trace["layer"][place.entries[-1]]:
            text += (
                " At least half of the model's own predictions in the prompt settle only in the "
                f"last layer ({count(n, 'position')})."
            )
        else:
            text += (
                " For the model's own predictions in the prompt, the median settling layer is "
                f"{layer:g} ({count(n, 'position')})."
            )
    return Observation(
        "settled", text, "settling layer", float(trace["layer"][at]), "layer",
        n=len(place.entries), is_found=is_found, layer=at, position=place.query,
    )  # fmt: skip


def _wanted(trace: Trace) -> tuple[int, int, str]:
    """Return the position whose output is the decisive token, that token's id, and its word."""
    answer = read_answer(trace)
    if answer is not None and (one := answer.decisive) is not None:
        if "generated_ids" in trace:
            return one.query, int(trace["generated_ids"][one.step]), one.word
        return one.query, int(trace["token_ids"][one.position]), one.word
    query = trace.prompt_tokens - 1
    return query, int(trace["target_ids"][query]) if "target_ids" in trace else -1, ""


def _generated_text(trace: Trace, query: int) -> str:
    """Return the text of the token after a position, as far as the trace has it."""
    if query + 1 < len(trace.tokens):
        return trace.tokens[query + 1]
    step = query + 1 - trace.prompt_tokens
    if "generated_text" in trace and 0 <= step < trace.dataset.sizes["step"]:
        return str(trace["generated_text"][step])
    return ""


def _where(trace: Trace, place: Settled) -> str:
    """Return from which layer on the lens's top token is the token."""
    assert place.readable is not None
    last, p = place.entries[-1], place.probabilities
    token, name = _token(place), layer_name(trace, place.readable)
    if place.is_only_last:
        which = "layer" if place.has_last else "layer read"
        text = (
            f"the lens settles on {token} only in the last {which} ({name}, probability "
            f"{fixed(p[last])})"
        )
    elif place.readable == place.entries[0]:
        text = (
            f"the lens's top token is {token} in every layer read (probability "
            f"{fixed(p[place.readable])} in {name}, {fixed(p[last])} in {layer_name(trace, last)})"
        )
    else:
        text = (
            f"the lens's top token is {token} from {name} onward (probability "
            f"{fixed(p[place.readable])} there, {fixed(p[last])} in {layer_name(trace, last)})"
        )
    return f"{text}{_before(trace, place)}."


def _before(trace: Trace, place: Settled) -> str:
    """Return what the lens says in the layers before; that it is not readable where that is so."""
    assert place.first is not None
    assert place.readable is not None
    start = place.entries[0]
    if place.first < place.readable:
        layers = _layers(trace, [i for i in place.entries if place.first <= i < place.readable])
        return f"; it is also in {layers}, where the lens is not readable ({_UNREADABLE})"
    earlier = [i for i in place.entries if i < place.readable]
    while earlier and not place.is_readable[earlier[0]]:
        start = earlier.pop(0)
    if earlier:
        return f"; just before, its top token is {_tokens(trace, place, earlier)}"
    if place.readable == place.entries[0]:
        return ""
    return f"; up to {layer_name(trace, start)} the lens is not readable ({_UNREADABLE})"


def _tokens(trace: Trace, place: Settled, earlier: Sequence[int]) -> str:
    """Return the top tokens of the readable layers before, the last ones."""
    runs = [
        (text, list(group))
        for text, group in groupby(
            [i for i in earlier if place.is_readable[i]], key=lambda i: place.tops[i]
        )
    ]
    return ", ".join(
        f"{_quoted(text)} in {_layers(trace, group)}" for text, group in runs[-_EARLIER:]
    )


def _layers(trace: Trace, entries: Sequence[int]) -> str:
    """Return entries along `layer` in words, with the call where it is not a layer's first."""
    every = range(len(trace["layer"]))
    return layers_in_words(entries, [layer_name(trace, i).removeprefix("layer ") for i in every])


def _nowhere(trace: Trace, place: Settled) -> str:
    """Return why the lens settles on the token in no layer that can be read."""
    last = place.entries[-1]
    name = layer_name(trace, last)
    if place.first is not None:
        return (
            f"the lens's top token is {_token(place)} from {layer_name(trace, place.first)} "
            f"onward, but in none of these layers is the lens readable ({_UNREADABLE})."
        )
    why = "which was sampled" if _is_sampled(trace) else "which the model writes next"
    where = f"in the last layer ({name})" if place.has_last else f"in {name}, the last one read,"
    return (
        f"the lens's top token {where} is {_quoted(place.tops[last])} "
        f"(probability {fixed(place.probabilities[last])}), not {_token(place)}, {why}."
    )


def _quoted(text: str) -> str:
    """Return a token in quotation marks, without its leading blank."""
    return quoted(text.strip(" ") or text)


def _is_sampled(trace: Trace) -> bool:
    options = trace.attrs.get("options")
    return isinstance(options, dict) and options.get("decoding") == "sampled"


def _token(place: Settled) -> str:
    """Return the token, with the word that it begins."""
    return f"{_quoted(place.text)}{f' (of {quoted(place.word)})' if place.word else ''}"


def _is_top(trace: Trace, wanted: np.ndarray, positions: slice = slice(None)) -> np.ndarray:
    """Return where the lens's top token is spelled as the ids `wanted`, [layer, position] bool.

    wanted: one for each of the positions. A target of rank 1 is a top token in case of a tie, too.
    """
    top = trace.lens("lens_top_ids", positions)[..., 0]
    ids = np.unique(np.concatenate([top.ravel(), wanted]))
    numbers = _spellings(trace, ids)
    is_top = numbers[np.searchsorted(ids, top)] == numbers[np.searchsorted(ids, wanted)]
    is_target = trace["target_ids"][positions] == wanted
    is_top |= (trace.lens("lens_rank", positions) == 0) & is_target
    return np.asarray(is_top & (wanted >= 0))


def _spellings(trace: Trace, ids: np.ndarray) -> np.ndarray:
    """Return a number for each token id, the same for tokens that differ in blank or case."""
    texts = [""] * len(ids) if is_redacted(trace) else trace.text_of(ids)
    numbers: dict[str | int, int] = {}
    keys = [text.strip().casefold() or text or int(i) for text, i in zip(texts, ids, strict=True)]
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys])
