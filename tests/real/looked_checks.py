"""The judge's check of the words that the row that says the decisive word attends to most.

The sentence stands below a headline whose sources were not tested.
"""

from __future__ import annotations

import re
from itertools import pairwise

import numpy as np
from torch import Tensor

from real.answer_checks import places, row_of
from real.evidence import Evidence
from real.verdict import QUOTE, Mistakes, bare, layers_in
from real.words import key_of

FORM = (
    r"the (?:row that says “(.*?)”|last row of the prompt) attends "
    r"(?:to no content word in particular|most to (.*)) \((.*?)layers? ([\d–]+)\)"
)
_LEAST = 0.4  # of what the first word has


def judge_row(match: re.Match[str], evidence: Evidence) -> Mistakes:
    """Check the words named, their amounts and their order."""
    mistakes, row = Mistakes(), row_of(evidence)
    many = len(evidence.model.layers)
    layers = layers_in(match[4])
    mistakes.claim(layers == list(range(many // 2, many)), f"the upper half is from {many // 2} on")
    names = [key_of(bare(one)) for one in QUOTE.findall(match[2] or "")]
    is_share = "of its attention" in match[3]
    own = _shares(evidence, row) if is_share else _heads(evidence, row)
    order = sorted(own, key=lambda key: -own[key])
    if not names:
        return mistakes
    amounts = re.findall(r"(?:< )?[\d.,]+ ?%?", match[3].split(" of ")[-2])
    amounts = [one for one in amounts if re.search(r"\d", one)]
    mistakes.claim(len(amounts) == len(names), f"{len(amounts)} amounts for {len(names)} words")
    for name, written in zip(names, amounts, strict=False):
        if name not in own:
            mistakes.claim(False, f"{name!r} is not among {order[:5]}")
        elif is_share:
            mistakes.share(f"attention to {name!r}", written, own[name])
        else:
            mistakes.number(f"heads at {name!r}", written.strip(" ,"), own[name])
    values = [own.get(name, 0.0) for name in names]
    slack = 0.002 if is_share else 1
    mistakes.claim(all(a >= b - slack for a, b in pairwise(values)), f"the order is {order[:4]}")
    first = own[order[0]] if order else 0.0
    mistakes.claim(values[0] >= first - slack, f"the first word is {order[:1]}")
    mistakes.claim(min(values) >= _LEAST * first - slack, "one has less than 0.4 of the first")
    left = [key for key in order[:3] if key not in names and own[key] > _LEAST * first + slack]
    mistakes.claim(len(names) == 3 or not left, f"it leaves out {left}")
    return mistakes


def _upper(evidence: Evidence, row: int) -> list[Tensor]:
    """Return the row's weights [head, key] in each layer of the upper half."""
    rows: list[Tensor] = []
    evidence.model.read(
        evidence.case.ids[: row + 1], lambda _, weights: rows.append(weights[:, row].clone())
    )
    return rows[len(rows) // 2 :]


def _shares(evidence: Evidence, row: int) -> dict[str, float]:
    """Return the row's attention to each word, the mean over heads and these layers."""
    mean = np.mean([one.mean(0).numpy() for one in _upper(evidence, row)], 0)
    return {key: float(mean[own].sum()) for key, own in places(evidence, row).items()}


def _heads(evidence: Evidence, row: int) -> dict[str, float]:
    """Return how many heads of these layers attend most to each word, sink keys left out."""
    upper, sinks = _upper(evidence, row), evidence.is_sink()
    word_of = {at: key for key, own in places(evidence, row).items() for at in own}
    counts = dict.fromkeys(word_of.values(), 0.0)
    for layer, weights in enumerate(upper, len(sinks) - len(upper)):
        weights[:, : sinks.shape[1]].masked_fill_(Tensor(sinks[layer]).bool(), 0.0)
        for key in weights.argmax(-1).tolist():
            if key in word_of:
                counts[word_of[key]] += 1
    return counts
