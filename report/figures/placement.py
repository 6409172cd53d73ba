"""The default placement of section, inset and box in the figure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import singledispatch

import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.report.compare.difference import Difference
from attentropy.report.compare.subtraction import subtract
from attentropy.report.findings.rehearsal import StrongestRehearsal, at_most, strongest_rehearsal
from attentropy.report.read.answer_words import read_answer

# The caption of the box in a figure that does not show the lens.
BOX_CAPTION = "Template tokens after the question"
_ANSWER_PART = 3  # of a section's columns, one part of so many may be the answer's
_NOT_MEASURED = "Template tokens (rehearsal not measured)"


@dataclass(frozen=True)
class Placement:
    """The positions of section, inset and box, and the caption of the box.

    The section is [start, stop), `column` the position of the inset, and the box of template
    tokens [box_start, box_stop), which is (0, 0) where there is none.
    """

    start: int
    stop: int
    column: int
    box_start: int
    box_stop: int
    caption: str


def box_caption(view: str, placed: Placement) -> str:
    """Return the caption of the box in a view of the figure; empty without a box."""
    return placed.caption if view == "lens" or not placed.caption else BOX_CAPTION


def in_sentence(caption: str) -> str:
    """Return the caption of the box as it stands within a sentence."""
    return caption[:1].lower() + caption[1:]


def without_box(placed: Placement) -> Placement:
    """Return the placement without the box of template tokens."""
    return replace(placed, box_start=0, box_stop=0, caption="")


def pair_columns(columns: int) -> int:
    """Return how many columns of two tokens each have room where `columns` of one token have."""
    return max(1, columns * 2 // 3)


@singledispatch
def place(trace: Trace, columns: int, section: tuple[int, int] | None = None) -> Placement:
    """Return the placement of section, inset and box.

    By default the inset is the template token with the strongest rehearsal if one was found,
    otherwise the position before the answer's decisive token; the section is the prompt's tail with
    the beginning of the answer, moved so that it contains the inset. A `section` that is passed
    contains the inset. If the lens read only a part of the prompt, the section ends with that part.
    """
    end = stop = _lens_stop(trace)
    if stop > trace.prompt_tokens:
        stop = min(stop, max(columns, trace.prompt_tokens + columns // _ANSWER_PART))
    best = strongest_rehearsal(trace)
    dummies = trace.dummy_positions()
    column = best.position if best is not None and best.is_found else _decisive_query(trace, end)
    stop = max(stop, min(end, column + 2))  # and the token that follows it
    start = max(0, stop - columns)
    if column < start:
        start, stop = column, column + columns
    if section is not None:
        start, stop = section
        column = column if start <= column < stop else stop - 1
    box = _last_run(dummies)
    return Placement(start, stop, column, *box, _caption(trace, box))


@place.register
def _place_difference(
    difference: Difference, columns: int, section: tuple[int, int] | None = None
) -> Placement:
    """Place the section at the tail, and the inset where A and B differ most within it.

    The box says what is rehearsed on both sides.
    """
    change = np.abs(subtract(*next(iter(difference.sides.values()))))
    prompt, columns = difference.prompt_tokens, pair_columns(columns)
    stop = int(np.flatnonzero(difference.compared)[-1]) + 1
    if difference.kind.size > prompt:
        stop = min(difference.kind.size, max(columns, prompt + columns // _ANSWER_PART))
    start = max(0, stop - columns)
    start, stop = section or (start, stop)
    finite = np.isfinite(change[:, start:stop])
    finite &= np.arange(start, stop) < max(prompt, start + 1)  # the inset is one of the prompt's
    mean = np.where(finite, change[:, start:stop], 0).sum(0) / np.maximum(finite.sum(0), 1)
    box = _last_run(difference.dummy_positions())
    probabilities = ", ".join(
        f"{name} {best.numbers}{_verdict(best)}"
        for name, trace in zip("AB", difference.traces, strict=True)
        if (best := strongest_rehearsal(trace)) is not None
    )
    caption = f"Rehearsal at template tokens: {probabilities}" if probabilities else _NOT_MEASURED
    return Placement(
        start, stop, start + int(mean.argmax()), *box, caption if box[0] != box[1] else ""
    )


def _lens_stop(trace: Trace) -> int:
    """Return the end of the positions that the lens read; without a lens, that of the prompt."""
    if "lens_entropy" in trace:
        positions = np.flatnonzero(np.isfinite(trace.lens("lens_entropy")).any(0))
        if positions.size:
            return int(positions[-1]) + 1
    return len(trace.tokens)


def _decisive_query(trace: Trace, end: int) -> int:
    """Return the position whose output is the answer's decisive token, before `end`.

    It is the prompt's last one without an answer, or if no lens read that position.
    """
    answer = read_answer(trace)
    if answer is not None and answer.decisive is not None and answer.decisive.query < end:
        query = answer.decisive.query
        here = slice(query, query + 1)
        if "lens_entropy" in trace and np.isfinite(trace.lens("lens_entropy", here)).any():
            return query
    return min(end, trace.prompt_tokens) - 1


def _last_run(positions: np.ndarray) -> tuple[int, int]:
    """Return the last unbroken run of positions as (start, stop)."""
    if positions.size == 0:
        return 0, 0
    breaks = np.flatnonzero(np.diff(positions) > 1)
    first = positions[breaks[-1] + 1] if breaks.size else positions[0]
    return int(first), int(positions[-1]) + 1


def _caption(trace: Trace, box: tuple[int, int]) -> str:
    """Return the caption of the box, which claims a rehearsal only if one was found."""
    if box[0] == box[1]:
        return ""
    best = strongest_rehearsal(trace)
    if best is None:
        return _NOT_MEASURED
    if best.why_untested:
        return "Template tokens (rehearsal not tested)"
    if not best.is_found:
        return f"Template tokens: no rehearsal ({at_most(best.probability)} in readable layers)"
    layer = int(trace["layer"][best.entry])
    return f"Rehearsal at template tokens (layer {layer}: {best.numbers})"


def _verdict(best: StrongestRehearsal) -> str:
    """Return in brackets what is not found, or was not tested; nothing for what is found."""
    if best.why_untested:
        return " (not tested)"
    return "" if best.is_found else " (not found)"
