"""The judge's rules: what counts as rehearsed, which token decides the answer, where it settles."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from real.evidence import Evidence
from real.words import key_of, keys_of

RANK, PROBABILITY, TIMES = 4, 0.05, 10
_PART, _STATED = "it is a part of a letter", "its word stands in the prompt"
_NO_CONTENT, _UNREADABLE = "no content word", "the lens is not readable there"
_NEVER = frozenset({_PART, _STATED, _NO_CONTENT, _UNREADABLE})


@dataclass(frozen=True)
class Cell:
    """A token of the answer in a cell of the lens, and why it does not count; see `docs`."""

    layer: int
    position: int
    token: str
    probability: float
    rank: int
    placebo: float
    objections: tuple[str, ...]

    @property
    def is_sought(self) -> bool:
        """Whether it fails by its numbers alone: a token to look for, in a readable layer."""
        return not _NEVER.intersection(self.objections)


@dataclass(frozen=True)
class Rehearsal:
    """The cells that count, all cells by token, and the tokens that could be rehearsed."""

    cells: list[Cell]
    others: list[Cell]
    candidates: list[str]

    @property
    def grid(self) -> set[tuple[int, int]]:
        """The layers and positions where any token counts."""
        return {(cell.layer, cell.position) for cell in self.cells}

    def at(self, layer: int, position: int, token: str) -> Cell | None:
        """Return a token's cell."""
        same = (
            cell
            for cell in (*self.cells, *self.others)
            if (cell.layer, cell.position) == (layer, position)
            and (cell.token.strip() == token.strip() or is_byte(cell.token, token))
        )
        return next(same, None)


def is_byte(text: str, written: str) -> bool:
    """Return whether a token that is a part of a letter is written as its byte, `<0xD8>`."""
    return "\ufffd" in text and written.startswith("<0x")


def read_rehearsal(evidence: Evidence) -> Rehearsal:
    """Return where a later token of the answer counts as rehearsed."""
    case, words, decode = evidence.case, evidence.words, evidence.model.tokenizer.decode
    steps: dict[int, list[str]] = {}
    for step, token in enumerate(case.generated):
        steps.setdefault(token, []).extend(words.keys(case.prompt + step))
    tokens = [token for token in steps if token not in words.special]
    is_readable = evidence.skill()[0] >= 0.5 if case.dummies else None
    cells, others = [], []
    stated = words.of_prompt | _cut(evidence, words.of_prompt)
    new = [
        token
        for token in tokens
        if any(key not in stated for key in steps[token]) and key_of(decode([token])) not in stated
    ]
    placebos = {token: evidence.placebo(token) for token in tokens} if case.dummies else {}
    for column, position in enumerate(case.dummies):
        own = case.ids[position + 1]
        for layer in range(len(evidence.states)):
            logprobs = evidence.at(position)[layer]
            for token in tokens:
                if token == own:
                    continue
                probability = float(logprobs[token].exp())
                rank = int((logprobs > logprobs[token]).sum())
                placebo = float(placebos[token][layer, column])
                objections = {
                    f"rank {rank + 1}": rank > RANK,
                    f"probability {probability:.3f}": probability < PROBABILITY,
                    _NO_CONTENT: not steps[token],
                    _PART: "\ufffd" in decode([token]),
                    _STATED: bool(steps[token]) and token not in new,
                    f"placebos give {placebo:.3g}": not probability >= TIMES * placebo,
                    _UNREADABLE: not is_readable[layer],
                }
                cell = Cell(
                    layer, position, decode([token]), probability, rank, placebo,
                    tuple(why for why, holds in objections.items() if holds),
                )  # fmt: skip
                (others if cell.objections else cells).append(cell)
    whole = [text for text in map(decode, new) if "\ufffd" not in text]
    return Rehearsal(cells, others, whole if case.dummies else [])


def decisive(evidence: Evidence) -> tuple[int, int]:
    """Return the step of the decisive token, and its id.

    The first token of the first content word that is not in the last message; if there is no such,
    of the first that is not in the message's last paragraph, then of the first content word; of the
    first word without any; else the first token.
    """
    case, words = evidence.case, evidence.words
    starts: list[tuple[int, list[str]]] = []
    before: list[str] = []
    for step in range(len(case.generated)):
        keys = words.keys(case.prompt + step)
        if any(key not in before for key in keys):
            starts.append((step, keys))
        before = keys
    new: list[int] = []
    for text in _questions(evidence):
        stated = keys_of(text)
        stated |= _cut(evidence, stated)
        new += [step for step, keys in starts if any(key not in stated for key in keys)]
    any_words = [step for step in range(len(case.generated)) if words.any_keys(case.prompt + step)]
    step = next(iter([*new, *(step for step, _ in starts), *any_words]), 0)
    return step, case.generated[step]


def _cut(evidence: Evidence, stated: set[str]) -> set[str]:
    """Return the words that end the answer without a sign after them and begin a stated word."""
    case = evidence.case
    last = evidence.words.keys(case.prompt + len(case.generated) - 1) if case.generated else []
    return {key for key in last if any(word.startswith(key) for word in stated)}


def _questions(evidence: Evidence) -> list[str]:
    """Return the prompt's last words up to the template's before them, and their last paragraph.

    Without a template it is the last paragraph alone.
    """
    case, decode = evidence.case, evidence.model.tokenizer.decode
    own = [i for i in range(case.prompt) if case.roles[i] == "content"]
    start = own[-1] if own else 0
    while start and case.roles[start - 1] == "content":
        start -= 1
    text = decode(case.ids[start : own[-1] + 1]).rstrip() if own else ""
    paragraph = re.split(r"\n\s*\n", text)[-1]
    return [text, paragraph] if "template" in case.roles else [paragraph]


def _spelling(evidence: Evidence, token: int) -> str:
    text: str = evidence.model.tokenizer.decode([token])
    return text.strip().casefold() or text


def settling_layer(evidence: Evidence, position: int, token: int) -> int | None:
    """Return the first layer from which on the lens's top token is spelled as `token`."""
    return _settling(evidence, evidence.at(position).argmax(-1).tolist(), token)


def settling_layers(evidence: Evidence) -> list[int]:
    """Return the same for each position of the prompt and what the model predicts there.

    Only layers whose lens is readable count: it is the first one from there on, or the last of all.
    """
    tops = evidence.lens()[2]
    readable = np.flatnonzero(evidence.skill()[0] >= 0.5).tolist()
    layers = [_settling(evidence, column.tolist(), int(column[-1])) for column in tops.T]
    return [
        next((one for one in readable if one >= layer), len(tops) - 1)
        for layer in layers
        if layer is not None
    ]


def _settling(evidence: Evidence, tops: list[int], token: int) -> int | None:
    wanted = _spelling(evidence, token)
    agrees = np.array([_spelling(evidence, top) == wanted for top in tops])
    if not agrees[-1]:
        return None
    others = np.flatnonzero(~agrees)
    return int(others[-1]) + 1 if len(others) else 0
