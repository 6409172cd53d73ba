"""Head scores against the model's own eager weights, in float64."""

import numpy as np
import pytest
import torch

from attentropy.engine.attention.sequence_call import SequenceCall
from attentropy.engine.attention.visibility import Visibility
from attentropy.engine.maps.head_scores import SCORES
from attentropy.engine.maps.head_sums import HeadSums
from attentropy.kernels.common.mask import Mask
from attentropy.kernels.ops import attention
from swept import dataset, family_model, random_ids, streamed, sweeps_of, swept
from tiny import model


def _wanted_scores(p):
    """Compute the scores by definition from weights [layer, head, query, key]; 0 is invisible."""
    is_visible = p[:, 0] > 0
    visible = is_visible.sum(-1)
    row = np.arange(p.shape[-1])
    entropy = -(p * np.log(np.where(p > 0, p, 1))).sum(-1)
    near = np.tril(np.ones(p.shape[-2:], bool)) & (row[:, None] - row < 64)
    scores = {}
    for layer, layers in enumerate(p):
        enough = visible[layer].max()
        sees, two = is_visible[layer, :, 0], visible[layer] >= 2
        n = visible[layer]
        previous = layers[:, row[1:], row[:-1]]
        values = {
            "sink": (layers[:, sees, 0].mean(-1), (1 / n[sees]).mean()),
            "local": ((layers * near).sum(-1).mean(-1), (np.minimum(n, 64) / n).mean()),
            "previous": (previous.mean(-1), (1 / n[1:]).mean()),
            "entropy": (entropy[layer][:, two].mean(-1), None),
            "diffuse": ((entropy[layer][:, two] / np.log(n[two])).mean(-1), None),
        }
        for name, (score, uniform) in values.items():
            measured = name == "entropy" or enough >= SCORES[name].keys_needed
            scores[name, layer] = score if measured else np.full_like(score, np.nan)
            if uniform is not None:
                scores["uniform", name, layer] = uniform if measured else np.nan
    return scores


def _assert_scores(data, p):
    for name, wanted in _wanted_scores(p).items():
        kind = "uniform" if name[0] == "uniform" else "head"
        got = data[f"{kind}_{name[-2]}"][name[-1]]
        np.testing.assert_allclose(got, wanted, atol=2e-5, err_msg=str(name))


def test_head_scores_are_those_of_the_weights(family):
    subject, p = family
    data = swept(subject, random_ids(), sweeps_of(subject))
    _assert_scores(data, p)
    assert list(data["score_head"]) == [0, 1, 2, 3]


def test_a_uniform_head_scores_what_is_printed_as_uniform():
    subject = family_model("sliding")
    with torch.no_grad():
        subject.model.layers[1].self_attn.q_proj.weight.zero_()
    data = swept(subject, random_ids(), sweeps_of(subject))
    for name in ("sink", "previous"):
        uniform = float(data[f"uniform_{name}"][1])
        np.testing.assert_allclose(data[f"head_{name}"][1], uniform, rtol=1e-4)
    np.testing.assert_allclose(data["head_diffuse"][1], 1, rtol=1e-5)
    assert float(data["uniform_sink"][1]) == pytest.approx((1 / np.arange(1, 71)).mean(), rel=1e-5)


def test_a_score_that_the_prompt_is_too_short_for_is_absent():
    subject = model()
    for length, absent in ((7, {"sink", "local", "previous"}), (255, {"local"}), (256, set())):
        data = swept(subject, random_ids(length), sweeps_of(subject, length))
        for name in ("sink", "local", "previous"):
            for kind in ("head", "uniform"):
                missing = np.isnan(data[f"{kind}_{name}"])
                assert bool(missing.all()) == bool(missing.any()) == (name in absent), (
                    name,
                    length,
                )
        assert np.isfinite(data["head_entropy"]).all()


def test_where_every_head_has_a_short_window_no_head_is_called_local():
    subject = family_model("sliding")
    data = swept(subject, random_ids(), sweeps_of(subject))
    assert np.isnan(data["head_local"]).all()
    assert np.isfinite(data["head_sink"]).all()


def test_without_the_entropy_its_scores_are_absent():
    subject = model()
    sweeps = sweeps_of(subject, 40)
    with streamed(subject, sweeps, ("max_prob",)) as arrays:
        subject(random_ids(40), use_cache=False)
    data = dataset(sweeps, arrays)
    assert np.isnan(data["head_entropy"]).all()
    assert np.isnan(data["head_diffuse"]).all()
    assert np.isfinite(data["head_sink"]).all()


def test_keys_without_an_order_have_no_last_ones():
    q, k, v = torch.randn(3, 1, 2, 300, 16, generator=torch.Generator().manual_seed(0))
    visibility = Visibility(Mask(300, 300, 0, causal=False))
    lse = attention(q, k, v, causal=False).lse
    sums = HeadSums([2])
    sums.add(0, SequenceCall(q, k, lse, visibility, {}))
    assert np.isnan(sums.scores()["head_local"]).all()
    p = torch.softmax(q[0].double() @ k[0].double().mT / 4, -1)
    np.testing.assert_allclose(sums.scores()["head_sink"][0], p[:, :, 0].mean(-1), atol=1e-6)
