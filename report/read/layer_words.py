"""Layers as a sentence names them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from attentropy.report.units import join_words


def layers_in_words(rows: Iterable[int], labels: Sequence[str]) -> str:
    """Return layers in words, neighbours as a range: `layer 3`, `layers 0–3, 5 and 7–8`.

    rows: indices along `layer`, in any order. labels: the name of each row; calls of one layer may
    share it, and it is named once.
    """
    ordered = sorted(set(rows))
    runs = groupby(enumerate(ordered), lambda pair: pair[1] - pair[0])
    spans = [[labels[row] for _, row in run] for _, run in runs]
    texts = [span[0] if span[0] == span[-1] else f"{span[0]}–{span[-1]}" for span in spans]
    texts = list(dict.fromkeys(texts))
    is_one = len({labels[row] for row in ordered}) == 1
    return f"{'layer' if is_one else 'layers'} {join_words(texts)}"
