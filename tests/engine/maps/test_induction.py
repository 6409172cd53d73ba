"""The induction score is about 1 for a head that copies, and a mean weight for any head."""

import numpy as np
import pytest
import torch

from attentropy.engine.attention.visibility import Visibility
from attentropy.engine.coverage.classes import find_class
from attentropy.engine.coverage.tiny import tiny_model
from attentropy.engine.maps.induction import (
    REPEATED_TOKENS,
    InductionProbe,
    induction_scores,
    ordinary_ids,
    repeated_tokens,
    uniform_induction,
)
from attentropy.engine.run.extract import extract
from attentropy.kernels.common.mask import Mask
from attentropy.kernels.ops import attention
from attentropy.report.findings.single import observe
from attentropy.report.page.page import render
from tiny import model, tokenizer

IDS = repeated_tokens(range(250), first=256)


class _Layer(torch.nn.Module):
    layer_idx = 0


def _scores(q, k, ids, window=None):
    """Return each head's score for queries and keys [heads, N, D]."""
    q, k = q[None].float(), k[None].float()
    visibility = Visibility(Mask(len(ids), len(ids), 0, window=window))
    result = attention(q, k, k, window=window)
    probe = InductionProbe(None, ids)
    probe.on_attention(_Layer(), (q, k, k), visibility, {}, result)
    return probe.scores[0, 0]


def test_a_planted_induction_head_scores_one_and_its_neighbours_do_not():
    """The queries of the first head match the keys whose previous token is the query's token."""
    tokens = torch.nn.functional.one_hot(torch.tensor(IDS), 257).float()
    before = torch.cat([torch.zeros(1, 257), tokens[:-1]])
    place = torch.nn.functional.one_hot(torch.arange(len(IDS)), 257).float()
    previous = torch.cat([torch.zeros(1, 257), place[:-1]])
    # The heads attend to: the induction target; the previous token; the query's token, here and
    # earlier; all keys alike.
    q = 20 * torch.stack([tokens, previous, tokens, torch.zeros_like(tokens)])
    k = 20 * torch.stack([before, place, tokens, tokens])
    scores = _scores(q, k, IDS)
    assert scores[0] > 0.999
    assert scores[1] < 1e-6
    assert scores[2] < 1e-6
    assert scores[3] == pytest.approx(uniform_induction(IDS), rel=1e-4)


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
    subject = model(kind, **extra)
    scores = induction_scores(subject, IDS)
    subject.set_attn_implementation("eager")
    with torch.no_grad():
        weights = subject(torch.tensor([IDS]), output_attentions=True, use_cache=False).attentions
    n = REPEATED_TOKENS
    rows = torch.arange(n + 1, 2 * n + 1)
    assert all(IDS[i] == IDS[i - n] for i in rows)
    assert sorted(scores) == [(layer, 0) for layer in range(3)]
    for layer, own in enumerate(weights):
        p = own[0].double() / own[0].double().sum(-1, keepdim=True)
        np.testing.assert_allclose(scores[layer, 0], p[:, rows, rows - n + 1].mean(-1), atol=1e-5)


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
    subject = model()
    before = subject.config._attn_implementation
    induction_scores(subject, IDS)
    assert subject.config._attn_implementation == before


def test_a_sparse_model_that_cannot_read_the_repeated_tokens_is_recorded_without_their_score():
    subject = tiny_model(find_class("DeepseekV32ForCausalLM"))
    assert 40 < subject.config.index_topk < len(IDS)
    words = tokenizer()
    words.bos_token = None  # its number is larger than this model's vocabulary
    trace = extract(subject, list(range(3, 43)), tokenizer=words, max_new_tokens=1)
    note = next(note for note in trace.attrs["notes"] if "no induction scores" in note)
    assert "sparse attention" in note
    assert np.isnan(trace["head_induction"]).all()
    assert np.isfinite(trace["head_diffuse"]).any()


def test_a_model_that_fails_on_the_repeated_tokens_is_recorded_without_their_score():
    subject = model(vocab_size=200, pad_token_id=0)  # fewer than the tokenizer's first token
    trace = extract(subject, list(range(3, 43)), tokenizer=tokenizer(), max_new_tokens=1)
    assert any("no induction scores" in note for note in trace.attrs["notes"])
    assert np.isfinite(trace["entropy"]).all()
    page = render(trace, observe(trace))
    assert "no induction scores" in page
