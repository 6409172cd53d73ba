"""The sums of a ridge regression give what all rows at once give in float64."""

import pytest
import torch

from attentropy.engine.translator.ridge import RidgeSums
from attentropy.engine.translator.translator import AffineMap, Translator, over_rms
from ridge import reference


@pytest.mark.parametrize("penalty", [0.001, 0.1, 10.0])
@pytest.mark.parametrize(("rows", "width", "mean"), [(63, 7, 0.0), (211, 48, 40.0), (31, 60, 1.0)])
def test_sums_of_blocks_give_the_regression_over_all_rows(rows, width, mean, penalty):
    torch.manual_seed(rows)
    mix = torch.randn(width, width)
    x = torch.randn(rows, width) @ mix + mean * torch.randn(width)
    y = x @ torch.randn(width, width) / width + torch.randn(rows, width)
    sums = RidgeSums(width, torch.device("cpu"))
    for first in range(0, rows, 17):
        sums.add(x[first : first + 17], y[first : first + 17])
    own = sums.solve(penalty)
    weight, bias = reference(x, y, penalty)
    assert sums.rows == rows
    fitted = x.double() @ own.weight.double().T + own.bias.double()
    torch.testing.assert_close(fitted, x.double() @ weight.T + bias, rtol=1e-3, atol=1e-3)


def test_a_feature_that_never_varies_counts_for_nothing():
    torch.manual_seed(0)
    x, y = torch.randn(40, 5), torch.randn(40, 5)
    x[:, 2] = 7.0
    sums = RidgeSums(5, torch.device("cpu"))
    sums.add(x, y)
    own = sums.solve(0.01)
    assert bool(own.weight.isfinite().all())
    assert float((x @ own.weight.T + own.bias - y).mean().abs()) < 1e-5


@pytest.mark.parametrize("width", [5, 48, 61])
def test_a_map_that_can_be_inverted_recovers_the_heads_input(width, plain_lens):
    """Residuals that are a rotation of the head's input, at any length, are read exactly."""
    torch.manual_seed(width)
    lens = plain_lens(width)
    final = torch.randn(4 * width, width)
    rotation = torch.linalg.qr(torch.randn(width, width)).Q
    y = lens.normed(final)
    residual = y @ rotation * (0.1 + 50 * torch.rand(len(y), 1))
    sums = RidgeSums(width, torch.device("cpu"))
    sums.add(over_rms(residual), y)
    maps = {0: sums.solve(1e-9), 1: AffineMap(rotation, torch.zeros(width))}
    translator = Translator("x", "translator", 3, width, maps, {}, "")
    lenses = translator.lenses(lens, 3)
    for layer in (0, 1):
        torch.testing.assert_close(lenses[layer].head_input(residual), y, rtol=0, atol=2e-3)
        assert float(lenses[layer].read(residual, top_k=1, final=final).kl.max()) < 1e-3
    assert lenses[2] is lens
