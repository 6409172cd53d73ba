"""Other statistics and sites are in the page as far as entropy leaves room for them."""

import json
import re
from functools import partial

import numpy as np
import pytest

from attentropy.report import planes
from attentropy.report.pack import page_values
from attentropy.report.pack.extras import Extras
from attentropy.report.page.page import render
from long_traces import long
from traces import synthetic

pytestmark = pytest.mark.costly


def _part(page, name):
    match = re.search(f'id="{name}">(.*?)</script>', page, re.S)
    return json.loads(match[1]) if match else None


@pytest.fixture(scope="module")
def trace():
    """Return a long trace that has more statistics than entropy."""
    bare = long(12_000, layers=4, heads=3, read=600)
    attention, random = ("layer", "head", "query"), np.random.default_rng(0)
    shape = bare["entropy"].shape
    values = {
        "max_prob": (attention, random.random(shape, np.float32)),
        "distance": (attention, random.random(shape, np.float32) * 100),
    }
    return type(bare)(bare.dataset.assign(values))


def test_the_mean_of_shares_is_the_share_of_each_query(trace):
    averages = planes.read_averages(trace, "normalized_entropy")
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = trace["entropy"] / np.log(trace["visible"])[:, None]
    shares[..., trace["visible"][0] < 2] = np.nan
    np.testing.assert_allclose(averages.mean[:, 1:], shares.mean(1)[:, 1:], rtol=1e-5)
    assert np.isnan(averages.mean[:, 0]).all()
    tile = slice(averages.step, 2 * averages.step)
    np.testing.assert_allclose(averages.heads[..., 1], shares[..., tile].mean(-1), rtol=1e-5)


def test_a_short_page_offers_every_statistic_exactly_and_no_other(plain_page):
    assert _part(plain_page, "report")["offered"] == {
        "attention": ["normalized_entropy", "max_prob", "distance", "sink_mass"],
        "lens.residual": ["lens_kl", "probability", "lens_rank"],
    }
    assert all(packed["error"] == 0 for packed in _part(plain_page, "more")["packed"].values())
    bare = synthetic()
    bare = type(bare)(bare.dataset.drop_vars(["distance", "lens_kl", "visible"]))
    assert _part(render(bare, []), "report")["offered"] == {
        "attention": ["max_prob", "sink_mass"],
        "lens.residual": ["probability", "lens_rank"],
    }


@pytest.mark.parametrize("most", [1_000_000, pytest.param(2_000_000, marks=pytest.mark.slow)])
def test_entropy_has_the_resolution_that_it_has_without_the_others(trace, most, monkeypatch):
    full = partial(render, trace, [], max_bytes=most)
    with_them = full()
    monkeypatch.setattr(page_values, "pack_extras", lambda *_: Extras())
    without = full()
    for part, ignored in (("report", {"offered"}), ("later", set())):
        a, b = _part(with_them, part), _part(without, part)
        assert {k: v for k, v in a.items() if k not in ignored} == {
            k: v for k, v in b.items() if k not in ignored
        }
    assert len(with_them.encode()) <= most
    sentence = re.search(r'<p class="hint reduced">(.*?)</p>', with_them)[1]
    assert "Other statistics: " in sentence
    for name in ("largest weight", "mean distance", "probability of the top token"):
        assert name in sentence
