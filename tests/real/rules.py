"""The judge's rules: what counts as rehearsed, which token decides the answer, where it settles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from real.evidence import Evidence
from real.words import keys_of

RANK, PROBABILITY, TIMES = 4, 0.05, 10


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


@dataclass(frozen=True)
class Rehearsal:
    """The cells that count, all cells by token, and the tokens that could be rehearsed."""

    cells: list[Cell]
    others: list[Cell]
    candidates: list[str]

    def at(self, layer: int, position: int, token: str) -> Cell | None:
        """Return a token's cell."""
        same = (
            cell
            for cell in (*self.cells, *self.others)
            if (cell.layer, cell.position) == (layer, position)
            and cell.token.strip() == token.strip()
        )
        return next(same, None)


def read_rehearsal(evidence: Evidence) -> Rehearsal:
    """Return where a later token of the answer counts as rehearsed."""
    case, words, decode = evidence.case, evidence.words, evidence.model.tokenizer.decode
    steps: dict[int, list[str]] = {}
    for step, token in enumerate(case.generated):
        steps.setdefault(token, []).extend(words.keys(case.prompt + step))
    tokens = [token for token in steps if token not in words.special]
    is_readable = evidence.skill()[0] > 0 if case.dummies else None
    cells, others = [], []
    new = [t for t in tokens if any(key not in words.of_prompt for key in steps[t])]
    placebos = {token: evidence.placebo(token) for token in tokens} if case.dummies else {}
    for column, position in enumerate(case.dummies):
        own = case.ids[position + 1]
        for layer in range(len(evidence.states)):
            logprobs = evidence.at(layer, position)
            for token in tokens:
                if token == own:
                    continue
                probability = float(logprobs[token].exp())
                rank = int((logprobs > logprobs[token]).sum())
                placebo = float(placebos[token][layer, column])
                objections = {
                    f"rank {rank + 1}": rank > RANK,
                    f"probability {probability:.3f}": probability < PROBABILITY,
                    "no content word": not steps[token],
                    "its word stands in the prompt": bool(steps[token]) and token not in new,
                    f"placebos give {placebo:.3g}": not probability >= TIMES * placebo,
                    "the lens cannot be read there": not is_readable[layer],
                }
                cell = Cell(
                    layer, position, decode([token]), probability, rank, placebo,
                    tuple(why for why, holds in objections.items() if holds),
                )  # fmt: skip
                (others if cell.objections else cells).append(cell)
    return Rehearsal(cells, others, [decode([t]) for t in new] if case.dummies else [])


def decisive(evidence: Evidence) -> int | None:
    """Return the step of the first token of the first new content word; None without any."""
    case, words = evidence.case, evidence.words
    message = keys_of(_last_message(evidence))
    before: list[str] = []
    for step in range(len(case.generated)):
        keys = words.keys(case.prompt + step)
        if any(key not in message and key not in before for key in keys):
            return step
        before = keys
    return None


def _last_message(evidence: Evidence) -> str:
    """Return the words of the prompt after its last but one turn; all words without turns."""
    case, decode = evidence.case, evidence.model.tokenizer.decode
    own = [i for i in range(case.prompt) if case.roles[i] == "content"]
    start = own[-1] if own else 0
    while start and case.roles[start - 1] == "content":
        start -= 1
    return decode(case.ids[start : own[-1] + 1]) if own else ""


def settling_layer(evidence: Evidence, position: int, token: int) -> int | None:
    """Return the first layer from which on the lens's top token is spelled as `token`."""
    decode = evidence.model.tokenizer.decode

    def spelling(one: int) -> str:
        text = decode([one])
        return text.strip().casefold() or text

    tops = [int(evidence.at(layer, position).argmax()) for layer in range(len(evidence.states))]
    agrees = np.array([spelling(top) == spelling(token) for top in tops])
    if not agrees[-1]:
        return None
    others = np.flatnonzero(~agrees)
    return int(others[-1]) + 1 if len(others) else 0
