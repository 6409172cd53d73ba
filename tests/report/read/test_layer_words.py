"""Layers in words: neighbours are a range, and a layer is named once."""

import pytest

from attentropy.report.read.layer_words import layers_in_words

LABELS = [str(i) for i in range(10)]
CALLS = ["0", "0", "1", "1", "2", "2"]  # two calls per layer


@pytest.mark.parametrize(
    ("rows", "labels", "words"),
    [
        ([2], LABELS, "layer 2"),
        ([3, 4], LABELS, "layers 3–4"),
        ([3, 5], LABELS, "layers 3 and 5"),
        ([0, 1, 2, 5], LABELS, "layers 0–2 and 5"),
        ([8, 7, 5, 3, 2, 1, 0, 0], LABELS, "layers 0–3, 5 and 7–8"),
        ([2, 3], CALLS, "layer 1"),
        ([1, 2, 3], CALLS, "layers 0–1"),
        ([0, 4], CALLS, "layers 0 and 2"),
    ],
)
def test_layers_are_named_in_order_with_neighbours_as_a_range(rows, labels, words):
    assert layers_in_words(rows, labels) == words
