"""A finding about a trace, and how findings name layers and quote tokens."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

import numpy as np

from attentropy.engine.trace.bidi import without_isolates
from attentropy.engine.trace.dataset import Trace
from attentropy.report.text import shorten

_TITLES = {
    "tested": "What it rests on", "looked": "Where it looked", "sure": "How sure",
    "settled": "When it settled",
    "rehearsal": "What was rehearsed", "sinks": "Sinks", "heads": "What the heads do",
    "lens_layers": "Certainty by layer", "range": "How widely it looks",
    "reference_attention": "Attention, compared with placebos",
    "reference_lens": "Certainty, compared with placebos",
    "context": "How far back it looks",
    "answer": "The answers", "predictions": "Predictions", "lens_change": "Certainty by layer",
    "translators": "Lens translators",
}  # fmt: skip


@dataclass(frozen=True)
class Observation:
    """One sentence about a trace.

    `value` is that of `statistic` in `unit`, `threshold` the value that it was compared with, `n`
    the number of cells behind it; each is None where there is none. `is_found` is false for
    "nothing found" and for "not measured". `view`, `layer`, `position`, `head` say where to look,
    `shows` with which statistic of the view where that is not the one of the value.
    """

    id: str
    text: str
    statistic: str
    value: float | None = None
    unit: str = "nats"
    threshold: float | None = None
    n: int | None = None
    is_found: bool = True
    view: str = "lens"
    layer: int | None = None
    position: int | None = None
    head: int | None = None
    shows: str = ""

    @property
    def title(self) -> str:
        """The finding's name, as its card has it."""
        return _TITLES.get(self.id, self.statistic)

    def to_json(self) -> dict[str, str | float | bool | None]:
        """Return the fields for `--json`, where `is_found` is called "found"."""
        return {"found" if k == "is_found" else k: v for k, v in asdict(self).items()}


def layer_name(trace: Trace, entry: int | np.signedinteger) -> str:
    """Return an entry along `layer` in words: the model's number, and the call if not the first."""
    call = int(trace["call"][entry]) if "call" in trace else 0
    return f"layer {int(trace['layer'][entry])}" + (f" (call {call})" if call else "")


def head_label(trace: Trace, entry: int | np.signedinteger, head: int) -> str:
    """Return a head as the field writes it, `L7H1`; `head` is the model's number, −1 a mean."""
    return head_labels(trace, [(int(entry), head)])[0]


def head_labels(trace: Trace, heads: Iterable[tuple[int, int]]) -> list[str]:
    """Return the label of each (entry along `layer`, number of the model); see `head_label`."""
    layers = trace["layer"].tolist()
    calls = trace["call"].tolist() if "call" in trace else [0] * len(layers)

    def label(entry: int, head: int) -> str:
        call = f" (call {calls[entry]})" if calls[entry] else ""
        if head < 0:
            return f"layer {layers[entry]}{call}, mean over heads"
        return f"L{layers[entry]}H{head}{call}"

    return [label(entry, head) for entry, head in heads]


def quoted(text: str, columns: int = 24) -> str:
    """Return a token, a word or an answer in quotation marks, cut to `columns`.

    One that is isolated already (see `isolated`) is isolated once.
    """
    return f"“{shorten(without_isolates(text), columns)}”"


def extremes(
    trace: Trace, rows: np.ndarray, means: np.ndarray, unit: str, digits: int
) -> str:  # fmt: skip
    """Return where the means of the layers `rows` are lowest and highest, as words after "is".

    Means that are written alike are said to be equal.
    """
    texts = [f"{value:.{digits}f}{unit}" for value in (means.min(), means.max())]
    low, high = (layer_name(trace, rows[at]) for at in (means.argmin(), means.argmax()))
    if len(rows) == 1:
        return f"is {texts[0]} in {low}"
    if texts[0] == texts[1]:
        return f"is {texts[0]} in every layer"
    return f"is lowest in {low} ({texts[0]}) and highest in {high} ({texts[1]})"
