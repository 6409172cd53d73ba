"""Rows without sink keys against the model's own eager weights, in float64."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import DynamicCache

from attentropy.engine.attention.visibility import Visibility
from attentropy.engine.maps import hidden_sinks
from attentropy.engine.maps.hidden_sinks import HiddenSinks
from attentropy.engine.model.cache import continuing
from attentropy.engine.trace.audience import audience_of
from attentropy.engine.trace.sink_keys import may_be_sinks, sinks_of_layer
from attentropy.engine.trace.statistics import WITHOUT_SINKS
from attentropy.kernels.common.mask import Mask
from swept import LENGTH, family_model, random_ids, streamed, sweeps_of


class _Fixed(HiddenSinks):
    """Hides the same keys in every layer, whatever they receive: random weights have no sinks."""

    def update(self, entry, here, received):
        super().update(entry, here, received)
        self._is_sink[entry] = 0
        self._is_sink[entry, [0, 26, 27, 150]] = 1


def _hidden(subject, kind=_Fixed, chunk=None, length=LENGTH, tile=None):
    sinks = kind(len(subject.model.layers), np.ones(length, bool), WITHOUT_SINKS)
    sweeps = sweeps_of(subject, length, sinks=sinks, tile=tile)
    cache = None if chunk is None else DynamicCache(config=subject.config)
    ids, chunk = random_ids(length), chunk or length
    with streamed(subject, sweeps) as arrays:
        for start in range(0, length, chunk):
            subject(ids[:, start : start + chunk], **continuing(cache), use_cache=cache is not None)
    return arrays, sweeps


def _wanted(p, sinks):
    """Return mass, entropy and top key without `sinks`, from weights [layer, head, query, key]."""
    mass = p[..., sinks].sum(-1)
    rest = p.copy()
    rest[..., sinks] = 0
    total = rest.sum(-1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        rest = rest / total
        entropy = -(rest * np.log(np.where(rest > 0, rest, 1))).sum(-1)
    return mass, np.where(total[..., 0] > 0, entropy, np.nan), rest.argmax(-1)


@pytest.mark.parametrize("chunk", [None, 48])
def test_rows_without_sinks_are_those_of_the_models_own_weights(family, chunk):
    subject, p = family
    arrays, _ = _hidden(subject, chunk=chunk)
    sinks = [0, 26, 27, 150]
    mass, entropy, top = _wanted(p, sinks)
    is_hidden = np.isfinite(arrays["entropy_without_sinks"])
    sees = (p[..., sinks] > 0).any(-1)
    assert (is_hidden | ~sees | np.isin(np.arange(LENGTH), sinks) | np.isnan(entropy)).all()
    assert not is_hidden[..., sinks].any()
    np.testing.assert_allclose(arrays["sink_key_mass"][is_hidden], mass[is_hidden], atol=1e-5)
    np.testing.assert_allclose(
        arrays["entropy_without_sinks"][is_hidden], entropy[is_hidden], atol=5e-5
    )
    keys = arrays["top_key_without_sinks"]
    weights = np.take_along_axis(p, np.maximum(keys, 0)[..., None].astype(int), -1)[..., 0]
    best = np.take_along_axis(p, top[..., None], -1)[..., 0]
    np.testing.assert_allclose(weights[is_hidden], best[is_hidden], atol=1e-6)
    assert (keys[is_hidden] >= 0).all()


def test_the_sinks_at_the_end_are_those_of_what_keys_receive(family):
    subject, p = family
    for chunk in (None, 48):
        _, sweeps = _hidden(subject, HiddenSinks, chunk)
        keys = sweeps.finished()["sink_keys"][1]
        for entry, layer in enumerate(p):
            mean = layer.mean(0)
            sees = layer[0] > 0
            n = sees.sum(0)
            share = mean.sum(0) / np.maximum(n, 1)
            uniform = (sees / sees.sum(1, keepdims=True)).sum(0) / np.maximum(n, 1)
            wanted = (share >= 0.2) & (share >= 2 * uniform) & (n >= max(8, n.max() / 10))
            assert (keys[entry] == wanted).all()


@pytest.mark.parametrize(("name", "masks"), [("grouped", 1), ("sliding", 1), ("learned sinks", 2)])
def test_what_queries_see_is_computed_once_per_mask_and_pass(monkeypatch, name, masks):
    ends = []
    monkeypatch.setattr(
        hidden_sinks, "audience_of",
        lambda visible, keys: ends.append(len(visible)) or audience_of(visible, keys),
    )  # fmt: skip
    subject = family_model(name)
    _hidden(subject, HiddenSinks, chunk=151)
    assert len(subject.model.layers) > masks
    assert ends == [151] * masks + [LENGTH] * masks


def test_a_mask_that_lets_queries_see_later_keys_has_an_audience_of_its_own():
    n = 12
    received = np.where(np.arange(n) == 8, 3.0, 0.0)  # of 4 queries in causal order, or of all
    sinks = HiddenSinks(2, np.ones(n, bool), ())
    for entry, last in enumerate((None, torch.full((1, n), n - 1))):
        visibility = Visibility(Mask(n, n, 0, last_keys=last))
        sinks.update(entry, SimpleNamespace(visibility=visibility), received)
    assert sinks.is_sink[:, 8].tolist() == [0, 1]


def test_a_key_that_receives_much_of_a_layer_is_its_sink():
    n = 40
    p = np.tril(np.ones((n, n)))
    p[:, 0] *= 9
    p[20:, 20] *= 12
    p /= p.sum(1, keepdims=True)
    audience = audience_of(np.arange(n) + 1, n)
    is_sink, share = sinks_of_layer(p.sum(0), audience, np.ones(n, bool))
    assert np.flatnonzero(is_sink).tolist() == [0, 20]
    np.testing.assert_allclose(share[:30], (p.sum(0) / (n - np.arange(n)))[:30])
    possible = np.arange(n) != 20
    assert np.flatnonzero(sinks_of_layer(p.sum(0), audience, possible)[0]).tolist() == [0]


@pytest.mark.parametrize("visible", [[1, 2, 3, 3, 3, 3], [1, 2, 1, 2, 1, 2], [6] * 6, [1, 2, 0, 2]])
def test_who_sees_a_key_follows_from_the_numbers_of_visible_keys(visible):
    n = 6
    sees = np.zeros((len(visible), n))
    for i, count in enumerate(visible):
        first = max(0, i - count + 1)
        sees[i, first : first + count] = 1
    audience = audience_of(np.array(visible), n)
    np.testing.assert_array_equal(audience.queries, sees.sum(0))
    shares = sees / np.maximum(sees.sum(1, keepdims=True), 1)
    np.testing.assert_allclose(audience.uniform, shares.sum(0), atol=1e-12)


def test_only_the_first_token_and_those_without_content_may_be_sinks():
    tokens = ["Paris", " is", " the", " capital", ".", "\n"]
    assert may_be_sinks(tokens, ["content"] * 6).tolist() == [True, True, True, False, True, True]


def test_a_uniform_row_of_a_short_prompt_is_no_sink():
    n = 12
    p = np.tril(np.ones((n, n))) / np.arange(1, n + 1)[:, None]
    assert p.sum(0)[0] / n > 0.2
    is_sink, _ = sinks_of_layer(p.sum(0), audience_of(np.arange(n) + 1, n), np.ones(n, bool))
    assert not is_sink.any()


def test_an_unfinished_run_continues_with_the_sinks_that_it_knew():
    subject = family_model("grouped")
    _, sweeps = _hidden(subject)
    sinks = _Fixed(len(subject.model.layers), np.ones(LENGTH, bool), WITHOUT_SINKS)
    other = sweeps_of(subject, sinks=sinks)
    other.restore(sweeps.state())
    np.testing.assert_array_equal(other.sinks.is_sink, sweeps.sinks.is_sink)
