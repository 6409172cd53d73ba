"""A source is hidden from each layer on, and where the budget is short, from layers all over."""

from itertools import groupby

import numpy as np
import pytest

from attentropy.engine.sources.measure import SourceOptions, measure
from hand_set import PACE, HandSet, layout, places, run


def capital():
    own = layout("What is the capital of Australia?", "Canberra")
    return own, places(own)[0]


def test_a_source_is_hidden_from_each_layer_on():
    own, at = capital()

    def by_layer(step, hidden, first):
        return -4.0 * (at["capital"] in hidden) * (first <= 2)

    result = run(own, HandSet(own, lambda step, hidden: 0.0, by_layer=by_layer))
    values = result.dataset["effect_from_layer"].values[..., 0]
    tested = np.isfinite(values).all(1)
    texts = [own.text(a, b) for a, b in zip(
        result.dataset["span_start"].values, result.dataset["span_stop"].values, strict=True
    )]  # fmt: skip
    assert [text for text, own_test in zip(texts, tested, strict=True) if own_test] == [" capital"]
    assert values[tested][0].tolist() == [-4.0, -4.0, -4.0, 0.0]


@pytest.mark.parametrize("budget", [70, 75, 80])
def test_a_short_budget_leaves_small_gaps_between_layers(budget):
    own, at = capital()

    def by_layer(step, hidden, first):
        return -4.0 * (at["capital"] in hidden) * (first <= 20)

    reader = HandSet(own, lambda step, hidden: 0.0, by_layer=by_layer)
    result = measure(own, reader, range(33), PACE, SourceOptions(budget=budget))
    is_tested = np.isfinite(result.dataset["effect_from_layer"].values).all(-1)
    (of_source,) = is_tested[is_tested.any(1)]
    gaps = [len(list(run)) for tested, run in groupby(of_source.tolist()) if not tested]
    assert sum(gaps) >= 7
    assert max(gaps) <= 3
