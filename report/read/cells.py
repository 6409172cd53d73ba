"""The texts of a figure's cells: one token of a trace, or one of each side of a difference."""

from __future__ import annotations

from collections.abc import Sequence
from functools import singledispatch
from typing import Protocol

import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.report.compare.difference import Difference
from attentropy.report.read.answer_words import read_answer
from attentropy.report.read.top_keys import top_keys
from attentropy.report.text import folded, label, shorten_pair, stack_pair

CellText = str | list[str]  # one line, or two

_LETTERS_WITH_PROBABILITY = 10  # of a cell that has room for a token and its probability


class ViewTexts(Protocol):
    """A view, as far as its cells need it: "lens" or "attention", and the texts of its rows."""

    @property
    def name(self) -> str: ...

    def texts(self, start: int, stop: int, letters: int = 8) -> list[list[str]]: ...


class Cells(Protocol):
    """Texts of the cells of a view."""

    def column_title(self, *, is_narrow: bool) -> str:
        """Return what a column of the figure is called, shorter where the figure is narrow."""
        ...

    def texts(self, view: str, span: slice, letters: int) -> list[list[str]]:
        """Return the texts of the positions of `span`, cut to `letters`: one list per layer."""
        ...

    def inset_texts(
        self, view: ViewTexts, column: int, letters: int, *, has_two_lines: bool
    ) -> Sequence[Sequence[CellText]]:
        """Return the texts of a magnified column: one text per layer, in a list of its own."""
        ...


class TokenCells:
    """Cells of one trace: the lens's top token, or the most attended token."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace

    def column_title(self, *, is_narrow: bool) -> str:
        """Return "position", or "pos." where the figure is narrow."""
        return "pos." if is_narrow else "position"

    def texts(self, view: str, span: slice, letters: int) -> list[list[str]]:
        """Return one token per cell, cut to `letters`."""
        read = _top_tokens if view == "lens" else _most_attended
        return read(self._trace, span, letters)

    def inset_texts(
        self, view: ViewTexts, column: int, letters: int, *, has_two_lines: bool
    ) -> Sequence[Sequence[CellText]]:
        """Return the tokens; those of the lens with their probabilities where both fit."""
        if view.name != "lens":
            return view.texts(column, column + 1)
        at = slice(column, column + 1)
        ids = self._trace.lens("lens_top_ids", at)[:, 0, 0]
        tokens = [
            label(text, letters) if i >= 0 else ""
            for text, i in zip(self._trace.text_of(ids), ids, strict=True)
        ]
        probabilities = np.exp(self._trace.lens("lens_top_logprobs", at)[:, 0, 0])
        if letters < _LETTERS_WITH_PROBABILITY:
            return [[token] for token in tokens]
        return [
            [f"{token}  {p:.2f}" if token and np.isfinite(p) else token]
            for token, p in zip(tokens, probabilities, strict=True)
        ]


class PairCells:
    """Cells of B − A: a token of A and a token of B."""

    def __init__(self, difference: Difference) -> None:
        self._difference = difference

    def column_title(self, *, is_narrow: bool) -> str:
        """Return "column": a column of a difference has a position on each side."""
        return "column"

    def texts(self, view: str, span: slice, letters: int) -> list[list[str]]:
        """Return both tokens of each cell in one line, cut to `letters`."""
        pairs = token_pairs(self._difference, view, span)
        return [[shorten_pair(*texts, letters) if texts else "" for texts in row] for row in pairs]

    def inset_texts(
        self, view: ViewTexts, column: int, letters: int, *, has_two_lines: bool
    ) -> Sequence[Sequence[CellText]]:
        """Return A's token over B's where one line is too short for both and there is room."""
        if not has_two_lines:
            return view.texts(column, column + 1, letters)
        pairs = token_pairs(self._difference, view.name, slice(column, column + 1))
        return [[stack_pair(*texts, letters) if texts else "" for texts in row] for row in pairs]


@singledispatch
def cells_of(trace: Trace) -> Cells:
    """Return the texts of the cells of a trace; of a `Difference` those of both sides."""
    return TokenCells(trace)


@cells_of.register
def _(trace: Difference) -> Cells:
    return PairCells(trace)


def answer_token(trace: Trace) -> str:
    """Return the first token of the answer's decisive word, folded; "" where there is none."""
    answer = None if isinstance(trace, Difference) else read_answer(trace)
    if answer is None or answer.decisive is None:
        return ""
    tokens, position = trace.tokens, answer.decisive.position
    return folded(tokens[position]) if position < len(tokens) else ""


def names_answer(trace: Trace, span: slice) -> np.ndarray | None:
    """Return whether the lens's top token is `answer_token`, [layer, position].

    Tokens that differ in a leading blank or in case count as one. None where there is no answer.
    """
    wanted = answer_token(trace)
    if not wanted or "lens_top_ids" not in trace:
        return None
    ids = trace.lens("lens_top_ids", span)[..., 0]
    unique = np.unique(ids)
    texts = trace.text_of(unique)
    same = [
        int(i) for i, text in zip(unique, texts, strict=True) if i >= 0 and folded(text) == wanted
    ]
    is_named: np.ndarray = np.isin(ids, same)
    return is_named


def _top_tokens(trace: Trace, span: slice, letters: int) -> list[list[str]]:
    """Return the lens's top tokens, "" where the lens did not read."""
    ids = trace.lens("lens_top_ids", span)[..., 0]
    unique = np.unique(ids)
    labels = {
        int(i): label(text, letters) for i, text in zip(unique, trace.text_of(unique), strict=True)
    }
    return [[labels[int(i)] if i >= 0 else "" for i in row] for row in ids]


def _most_attended(trace: Trace, span: slice, letters: int) -> list[list[str]]:
    """Return the key to which most heads attend most; of two as frequent the lower one.

    Sink keys are left out where the trace says what is attended to besides them.
    """
    sizes = trace.dataset.sizes
    if "top_key" not in trace:
        return [[""] * len(range(sizes["query"])[span]) for _ in range(sizes["layer"])]
    tokens = trace.tokens
    return [
        [label(tokens[key], letters) if 0 <= key < len(tokens) else "" for key in row]
        for row in _most_frequent(top_keys(trace, ..., span))
    ]


def _most_frequent(keys: np.ndarray) -> list[list[int]]:
    """Return the key of most heads, from keys [layer, head, query]; -1 where no head has one."""
    rows = []
    for layer in keys:
        row = []
        for column in layer.T:
            unique, counts = np.unique(column[column >= 0], return_counts=True)
            row.append(int(unique[counts.argmax()]) if unique.size else -1)
        rows.append(row)
    return rows


def token_pairs(
    difference: Difference, view: str, span: slice
) -> list[list[tuple[str, str] | None]]:
    """Return the top or most attended tokens of A and of B, one list per layer.

    None stands where a side has no token.
    """
    return [
        [(a, b) if a is not None and b is not None else None for a, b in row]
        for row in tokens_of_sides(difference, view, span)
    ]


def tokens_of_sides(
    difference: Difference, view: str, span: slice
) -> list[list[tuple[str | None, str | None]]]:
    """Return the top or most attended token of A and that of B, one list per layer.

    A side without a token has None.
    """
    texts: dict[int, str]
    if view == "lens":
        ids = difference.lens("lens_top_ids", span)
        unique = np.unique(ids)
        texts = dict(zip(unique.tolist(), difference.text_of(unique), strict=True))
    elif "top_key" in difference:
        sides = [
            _most_frequent(difference.of_side("top_key", side)[..., span].values) for side in (0, 1)
        ]
        ids, texts = np.stack(sides, -1), dict(enumerate(difference.tokens))
    else:
        ids = np.full((difference.dataset.sizes["layer"], difference.kind[span].size, 2), -1)
        texts = {}
    return [
        [(texts[a] if a >= 0 else None, texts[b] if b >= 0 else None) for a, b in row]
        for row in ids.tolist()
    ]
