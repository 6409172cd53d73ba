"""The shares −p ln p of exact weights, against float64."""

import numpy as np
import pytest
import torch

from attentropy.engine.attention.weights import exact_weights

TINY = float(np.finfo(np.float32).tiny)


@pytest.fixture
def mean_of(monkeypatch):
    def means(weights):
        """Return the means over heads of given weights [1, heads, rows, keys], and of shares."""
        module = "attentropy.engine.attention.weights.attention_window"
        monkeypatch.setattr(module, lambda *args, **options: weights)
        _, heads, rows, keys = weights.shape
        query = torch.zeros(1, heads, rows, 4)
        return exact_weights(
            query, query, query[..., 0], (0, rows), (0, keys), {}, per_head=False, shares=True
        )

    return means


@pytest.mark.parametrize("low", [0.0, 1e-45, TINY / 3, TINY, 1e-30, 1e-6])
def test_the_shares_are_those_of_float64_however_small_a_weight_is(low, mean_of):
    weights = torch.tensor([low, 1 / 3, 0.5, 1.0, 1.0000001, 0.999999]).expand(1, 2, 3, 6).clone()
    means, shares = mean_of(weights)
    exact = torch.special.entr(weights[0].double()).clamp_min(0).mean(0, keepdim=True).numpy()
    np.testing.assert_allclose(shares, exact, rtol=1e-6, atol=1e-7)
    assert (shares >= 0).all()
    np.testing.assert_array_equal(means[0], weights[0, 0])


def test_a_weight_that_is_no_number_has_no_share(mean_of):
    _, shares = mean_of(torch.full((1, 1, 1, 2), torch.nan))
    assert np.isnan(shares).all()
