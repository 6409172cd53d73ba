"""ln p of each token of the text is that of transformers' own logits, however it is read."""

import copy

import numpy as np
import pytest
import torch

from attentropy.engine.errors import UsageError
from attentropy.engine.run.extract import extract
from tiny import model, tokenizer

pytestmark = pytest.mark.costly

FAMILIES = {
    "llama": {},
    "gemma2": {"head_dim": 16, "sliding_window": 24},  # softcap, a norm of its own
    "cohere": {"logit_scale": 0.25},
    "gpt2": {},  # tied embeddings, a layer norm with bias
}


def _ids(length=53):
    return torch.randint(3, 250, (length,), generator=torch.Generator().manual_seed(0)).tolist()


def _oracle(subject, ids):
    """Return ln p of each token in float64, NaN for the first."""
    with torch.no_grad():
        logits = copy.deepcopy(subject).double()(torch.tensor([ids]), use_cache=False).logits[0]
    logprobs = logits.log_softmax(-1)
    values = logprobs[:-1].gather(1, torch.tensor(ids[1:])[:, None])[:, 0]
    return np.concatenate([[np.nan], values.numpy()])


def _extract(subject, ids, **options):
    plain = {"map_tile": "none", "scores": False, "max_new_tokens": 0}
    return extract(subject, ids, tokenizer=tokenizer(), **(plain | options))


@pytest.mark.parametrize("kind", FAMILIES)
@pytest.mark.parametrize("lens", ["residual", "none"])
def test_it_is_the_models_own_probability_of_each_token(kind, lens):
    subject, ids = model(kind, **FAMILIES[kind]), _ids()
    trace = _extract(subject, ids, lens=lens)
    np.testing.assert_allclose(trace["token_logprob"], _oracle(subject, ids), atol=2e-5, rtol=0)
    assert trace.dataset["token_logprob"].dims == ("query",)


@pytest.mark.parametrize("chunk", [1, 2, 7, 52])
def test_chunks_give_the_values_of_one_pass(chunk):
    subject, ids = model(), _ids()
    trace = _extract(subject, ids, chunk=chunk, lens="none")
    np.testing.assert_allclose(trace["token_logprob"], _oracle(subject, ids), atol=2e-5, rtol=0)


def test_a_lens_that_reads_few_positions_changes_nothing():
    subject, ids = model(), _ids()
    trace = _extract(subject, ids, chunk=9, lens_positions="20:22")
    np.testing.assert_allclose(trace["token_logprob"], _oracle(subject, ids), atol=2e-5, rtol=0)
    assert np.isfinite(trace["lens_entropy"]).sum() == 2 * 3


def test_a_single_token_has_none():
    trace = _extract(model(), [5])
    assert np.isnan(trace["token_logprob"]).all()


def test_it_is_recorded_only_where_its_name_is_given():
    subject, ids = model(), _ids(9)
    assert "token_logprob" not in _extract(subject, ids, stats="entropy")
    assert "token_logprob" in _extract(subject, ids, stats="all")
    trace = _extract(subject, ids, stats="token_logprob")
    assert "token_logprob" in trace
    assert "entropy" in trace
    assert "max_prob" not in trace
    with pytest.raises(UsageError, match="token_logprob"):
        _extract(subject, ids, stats="surprisal")


def test_a_model_without_a_head_has_a_note_in_its_place(monkeypatch):
    subject = model()
    monkeypatch.setattr(subject, "get_output_embeddings", lambda: None)
    trace = _extract(subject, _ids(9))
    assert "token_logprob" not in trace
    assert any(note.startswith("no token_logprob: ") for note in trace.attrs["notes"])
