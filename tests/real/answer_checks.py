"""The judge's checks of what a report says of the decisive word: where its row looked, how sure."""

from __future__ import annotations

import re
from itertools import pairwise

import numpy as np
from torch import Tensor

from real.evidence import Evidence, entropy_of
from real.rules import decisive
from real.verdict import HEAD, NUMBER, QUOTE, Check, Finding, Mistakes, Verdict, bare
from real.words import key_of

_SHARE = r"((?:< )?[\d.]+ %)"
_FIRST = re.compile(
    rf"{NUMBER} of {NUMBER} heads? attends? most to “([^”]*)” \(strongest: {HEAD} with {_SHARE} of "
    rf"its attention; of its other rows {_SHARE} do so\)"
)
_NEXT = re.compile(rf"{NUMBER} to “([^”]*)” \({HEAD}: {_SHARE}; {_SHARE}\)")
_PARKED, _ROWS = 0.1, 64


def row_of(evidence: Evidence) -> int:
    """Return the position whose output is the decisive word."""
    return evidence.case.prompt + decisive(evidence)[0] - 1


def places(evidence: Evidence, row: int) -> dict[str, list[int]]:
    """Return the positions of each content word before a row, the row's own word left out."""
    case, words = evidence.case, evidence.words
    own = row
    while own and words.keys(own) and words.keys(own - 1) == words.keys(own):
        own -= 1
    received = evidence.attention.received
    parked = received[len(received) // 2 :].mean(0) >= _PARKED
    places: dict[str, list[int]] = {}
    for at in range(own):
        is_parked = at < case.prompt - _ROWS + 1 and parked[at]
        if case.roles[at] in ("template", "bos") or is_parked:
            continue
        for key in words.keys(at)[:1]:
            places.setdefault(key, []).append(at)
    return places


def _heads(evidence: Evidence, row: int) -> dict[str, dict[tuple[int, int], tuple[float, float]]]:
    """Return weight and share of other rows of each head that looks at a word, by its key."""
    own_places = places(evidence, row)
    word_of = {at: key for key, own in own_places.items() for at in own}
    heads: dict[str, dict[tuple[int, int], tuple[float, float]]] = {}

    def keep(layer: int, weights: Tensor) -> None:
        top = weights.argmax(-1).numpy()
        visible = (weights > 0).numpy()
        for head, keys in enumerate(top):
            key = word_of.get(int(keys[row]))
            if key is None:
                continue
            share = 0.0
            for at in own_places[key]:
                rows = [i for i in range(at + 1, len(keys)) if i != row and visible[head, i, at]]
                share += float(np.mean(keys[rows] == at)) if rows else 0.0
            if share <= 0.5:
                weight = float(weights[head, row].max())
                heads.setdefault(key, {})[layer, head] = weight, share

    evidence.model.read(evidence.case.ids, keep)
    return heads


def _looked(finding: Finding, evidence: Evidence) -> Verdict | None:
    text, mistakes, row = finding["text"], Mistakes(), row_of(evidence)
    mistakes.claim(finding["position"] == row, f"the row is {row}")
    own = _heads(evidence, row)
    order = sorted(own, key=lambda key: -sum(weight for weight, _ in own[key].values()))
    if not finding["found"]:
        mistakes.claim(not own, f"heads look at {order[:3]}")
        return mistakes.verdict(finding)
    first = _FIRST.search(text)
    if first is None:
        return None
    groups = [(first[1], *first.groups()[2:]), *(match.groups() for match in _NEXT.finditer(text))]
    for count, word, layer, head, weight, share in groups:
        key, place = key_of(bare(word)), (int(layer), int(head))
        heads = own.get(key, {})
        mistakes.claim(abs(len(heads) - int(count)) <= 1, f"{len(heads)} heads look at {word!r}")
        if place not in heads:
            mistakes.claim(False, f"L{layer}H{head} does not look at {word!r}")
            continue
        mistakes.share(f"weight of {word!r}", weight, heads[place][0])
        mistakes.share(f"other rows at {word!r}", share, heads[place][1])
    written = [key_of(bare(word)) for _, word, *_ in groups]
    totals = [sum(weight for weight, _ in own.get(key, {}).values()) for key in written]
    mistakes.claim(all(a >= b - 0.01 for a, b in pairwise(totals)), f"order: {order[:3]}")
    mistakes.claim(set(order[:1]) <= set(written), f"the first word is {order[:1]}")
    return mistakes.verdict(finding)


def _sure(finding: Finding, evidence: Evidence) -> Verdict | None:
    text, mistakes = finding["text"], Mistakes()
    step, token = decisive(evidence)
    row, case = row_of(evidence), evidence.case
    logprobs = evidence.at(row)[-1]
    word = QUOTE.search(text)
    if word is None:
        return None
    key = key_of(bare(word[1]))
    product, at = 1.0, step
    while at < len(case.generated) and (at == step or key in evidence.words.keys(case.prompt + at)):
        product *= float(evidence.at(case.prompt + at - 1)[-1][case.generated[at]].exp())
        at += 1
    if match := re.search(rf"has probability (?:[<>] )?{NUMBER}", text):
        is_bound = re.search(r"has probability [<>]", text)
        if not is_bound:
            mistakes.number("probability", match[1], product)
    mistakes.claim(("Unsure" in text) == (product < 0.5), f"probability {product:.3f}")
    if match := re.search(rf"there: {NUMBER} nats", text):
        mistakes.number("entropy", match[1], float(entropy_of(logprobs[None])[0]))
    listed = re.search(r"next most likely: (.*?)\. Entropy", text)
    if listed:
        own = [i for i in logprobs.argsort(descending=True).tolist()[:8] if i != token]
        for written, value in re.findall(rf"“([^”]*)” (?:< )?{NUMBER}", listed[1]):
            texts = {evidence.model.tokenizer.decode([i]).strip(): i for i in own}
            match_id = next((i for t, i in texts.items() if bare(written).strip() == t), None)
            if match_id is not None and f"< {value}" not in listed[1]:
                mistakes.number(written, value, float(logprobs[match_id].exp()))
    return mistakes.verdict(finding)


CHECKS: dict[str, Check] = {"looked": _looked, "sure": _sure}
