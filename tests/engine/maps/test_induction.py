"""The induction score is ~1 for a head that copies, and the weights' own mean for any other."""

import numpy as np
import pytest
import torch

from attentropy.engine.attention.visibility import Visibility
from attentropy.engine.maps.induction import (
    REPEATED_TOKENS,
    InductionProbe,
    induction_scores,
    ordinary_ids,
    repeated_tokens,
    uniform_induction,
)
from attentropy.kernels.common.mask import Mask
from attentropy.kernels.ops import attention
from tiny import model, tokenizer

IDS = repeated_tokens(range(250), first=256)


class _Layer(torch.nn.Module):
    layer_idx = 0


def _scores(q, k, ids, window=None):
    """Each head's score for given queries and keys [heads, N, D]."""
    q, k = q[None].float(), k[None].float()
    seen = Visibility(Mask(len(ids), len(ids), 0, window=window))
    result = attention(q, k, k, window=window)
    probe = InductionProbe(None, ids)
    probe.on_attention(_Layer(), (q, k, k), seen, {}, result)
    return probe.scores[0, 0]


def test_a_planted_induction_head_scores_one_and_its_neighbours_do_not():
    """A query asks for keys that hold its own token as the one before them."""
    tokens = torch.nn.functional.one_hot(torch.tensor(IDS), 257).float()
    before = torch.cat([torch.zeros(1, 257), tokens[:-1]])
    place = torch.nn.functional.one_hot(torch.arange(len(IDS)), 257).float()
    previous = torch.cat([torch.zeros(1, 257), place[:-1]])
    # By head: induction; the previous token; the same token's earlier occurrence and itself; all.
    q = 20 * torch.stack([tokens, previous, tokens, torch.zeros_like(tokens)])
    k = 20 * torch.stack([before, place, tokens, tokens])
    found = _scores(q, k, IDS)
    assert found[0] > 0.999
    assert found[1] < 1e-6
    assert found[2] < 1e-6
    assert found[3] == pytest.approx(uniform_induction(IDS), rel=1e-4)


def test_where_no_query_sees_the_key_nothing_is_measured():
    q, k = torch.randn(2, 2, len(IDS), 16)
    assert np.isnan(_scores(q, k, IDS, window=REPEATED_TOKENS - 1)).all()
    assert np.isfinite(_scores(q, k, IDS, window=REPEATED_TOKENS)).all()


@pytest.mark.parametrize(
    ("kind", "extra"),
    [
        ("llama", {}),
        ("mistral", {"sliding_window": 70}),
        ("gpt_oss", {"sliding_window": 70, "head_dim": 16, "num_local_experts": 4}),
    ],
)
def test_scores_are_those_of_the_models_own_weights(kind, extra):
    made = model(kind, **extra)
    found = induction_scores(made, IDS)
    made.set_attn_implementation("eager")
    with torch.no_grad():
        weights = made(torch.tensor([IDS]), output_attentions=True, use_cache=False).attentions
    n = REPEATED_TOKENS
    rows = torch.arange(n + 1, 2 * n + 1)
    assert all(IDS[i] == IDS[i - n] for i in rows)
    assert sorted(found) == [(layer, 0) for layer in range(3)]
    for layer, own in enumerate(weights):
        p = own[0].double() / own[0].double().sum(-1, keepdim=True)
        np.testing.assert_allclose(found[layer, 0], p[:, rows, rows - n + 1].mean(-1), atol=1e-5)


def test_the_tokens_are_ordinary_all_different_twice_over_and_the_same_each_time():
    names = tokenizer()
    ordinary = ordinary_ids(names, 264)
    assert not set(ordinary) & {256, 257, 258}
    assert max(ordinary) < len(names)
    ids = repeated_tokens(ordinary, first=256)
    assert ids == repeated_tokens(ordinary, first=256)
    assert ids[0] == 256
    assert ids[1:65] == ids[65:]
    assert len(set(ids[1:65])) == REPEATED_TOKENS
    assert set(ids[1:]) <= set(ordinary)


def test_a_model_of_few_positions_gets_a_shorter_text_or_none():
    assert len(repeated_tokens(range(250), first=256, positions=40)) == 1 + 2 * 19
    assert repeated_tokens(range(250), positions=15) == []
    assert repeated_tokens(range(7)) == []
    assert induction_scores(model(), []) == {}


def test_the_model_is_left_as_it_was():
    made = model()
    before = made.config._attn_implementation
    induction_scores(made, IDS)
    assert made.config._attn_implementation == before
