"""Where section, inset and box go when nobody has said so."""

from __future__ import annotations

from dataclasses import dataclass
from functools import singledispatch

import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.report.compare.difference import Difference, subtract
from attentropy.report.findings.single import strongest_rehearsal

# What the box says where the lens is not what is shown.
BOX = "“Dummy tokens”: the chat template after the question"
_NOT_MEASURED = "“Dummy tokens” (rehearsal not measured)"


@dataclass(frozen=True)
class Placement:
    """Positions: the section is [start, stop), the box of dummy tokens [box_start, box_stop).

    `column` is the inset's position; the box is empty (0, 0) without dummy tokens.
    """

    start: int
    stop: int
    column: int
    box_start: int
    box_stop: int
    caption: str


def pair_columns(columns: int) -> int:
    """Return how many columns of two tokens each have room where `columns` of one token have."""
    return max(1, columns * 2 // 3)


@singledispatch
def place(trace: Trace, columns: int, section: tuple[int, int] | None = None) -> Placement:
    """The section at the prompt's tail, the inset at the dummy token that rehearses most; or a
    section that was asked for, the inset in it.

    Where the lens read no more than a part of the prompt, the section ends with that part.
    """
    stop = _read_until(trace)
    start = max(0, stop - columns)
    best = strongest_rehearsal(trace)
    dummies = trace.dummy_positions()
    column = best.position if best is not None else stop - 1
    if section is not None:
        start, stop = section
        column = column if start <= column < stop else stop - 1
    box = _last_run(dummies)
    return Placement(start, stop, column, *box, _caption(trace, box))


@place.register
def _of_difference(
    of: Difference, columns: int, section: tuple[int, int] | None = None
) -> Placement:  # fmt: skip
    """The section at the tail; the inset where A and B differ most within it. The box says what is
    rehearsed on both sides."""
    change = np.abs(subtract(*next(iter(of.sides.values()))))
    stop = int(np.flatnonzero(of.both)[-1]) + 1
    start = max(0, stop - pair_columns(columns))
    start, stop = section or (start, stop)
    there = np.isfinite(change[:, start:stop])
    total = np.where(there, change[:, start:stop], 0).sum(0) / np.maximum(there.sum(0), 1)
    box = _last_run(of.dummy_positions())
    likely = ", ".join(
        f"{name} p = {best.probability:.2g}{'' if best.found else ' (not found)'}"
        for name, trace in zip("AB", of.traces, strict=True)
        if (best := strongest_rehearsal(trace)) is not None
    )
    caption = f"Rehearsal at “dummy tokens”: {likely}" if likely else _NOT_MEASURED
    return Placement(
        start, stop, start + int(total.argmax()), *box, caption if box[0] != box[1] else ""
    )


def _read_until(trace: Trace) -> int:
    if "lens_entropy" in trace:
        read = np.flatnonzero(np.isfinite(trace.lens("lens_entropy")).any(0))
        if read.size:
            return int(read[-1]) + 1
    return len(trace.tokens)


def _last_run(positions: np.ndarray) -> tuple[int, int]:
    """The last unbroken run of positions as (start, stop)."""
    if positions.size == 0:
        return 0, 0
    breaks = np.flatnonzero(np.diff(positions) > 1)
    first = positions[breaks[-1] + 1] if breaks.size else positions[0]
    return int(first), int(positions[-1]) + 1


def _caption(trace: Trace, box: tuple[int, int]) -> str:
    """What the box may claim: a rehearsal only where one was found."""
    if box[0] == box[1]:
        return ""
    best = strongest_rehearsal(trace)
    if best is None:
        return _NOT_MEASURED
    if not best.found:
        return f"“Dummy tokens”: no rehearsal found (best p = {best.probability:.2g})"
    layer = int(trace["layer"][best.entry])
    return f"Rehearsal at “dummy tokens” (layer {layer}: p = {best.probability:.2g})"
