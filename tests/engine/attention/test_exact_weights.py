"""The shares −p ln p of exact weights, against float64."""

import numpy as np
import pytest
import torch

from attentropy.engine.attention.weights import exact_weights

TINY = float(np.finfo(np.float32).tiny)


@pytest.mark.parametrize("low", [0.0, 1e-45, TINY / 3, TINY, 1e-30, 1e-6])
def test_the_shares_are_those_of_float64_however_small_a_weight_is(low, monkeypatch):
    weights = torch.tensor([low, 1 / 3, 0.5, 1.0, 1.0000001, 0.999999]).expand(1, 2, 3, 6).clone()
    module = "attentropy.engine.attention.weights.attention_window"
    monkeypatch.setattr(module, lambda *args, **options: weights)
    query = torch.zeros(1, 2, 3, 4)
    means, shares = exact_weights(
        query, query, query[..., 0], (0, 3), (0, 6), {}, per_head=False, shares=True
    )
    exact = torch.special.entr(weights[0].double()).clamp_min(0).mean(0, keepdim=True).numpy()
    np.testing.assert_allclose(shares, exact, rtol=1e-6, atol=1e-7)
    assert (shares >= 0).all()
    np.testing.assert_array_equal(means[0], weights[0, 0])


def test_a_weight_that_is_no_number_has_no_share(monkeypatch):
    weights = torch.full((1, 1, 1, 2), torch.nan)
    module = "attentropy.engine.attention.weights.attention_window"
    monkeypatch.setattr(module, lambda *args, **options: weights)
    query = torch.zeros(1, 1, 1, 4)
    _, shares = exact_weights(
        query, query, query[..., 0], (0, 1), (0, 2), {}, per_head=False, shares=True
    )
    assert np.isnan(shares).all()
