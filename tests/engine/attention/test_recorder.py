"""Recorded values match eager attention, and recording leaves the model unchanged."""

import numpy as np
import pytest
import torch

from attentropy.engine.attention.recorder import check_same_outputs
from attentropy.engine.errors import AttentropyError
from attentropy.engine.model.cache import cache_of, continuing
from attentropy.engine.record.record import record
from tiny import config, model

KINDS = [
    ("llama", {}),
    ("mistral", {"sliding_window": 7}),
    ("gemma2", {"sliding_window": 7, "head_dim": 16, "query_pre_attn_scalar": 16}),
    ("gemma3_text", {"sliding_window": 7, "head_dim": 16, "query_pre_attn_scalar": 16}),
    ("qwen3", {"head_dim": 16}),
    ("phi3", {}),
    ("gpt2", {"n_embd": 48, "n_layer": 3, "n_head": 4, "n_positions": 256}),
    ("gpt_neox", {}),
    ("olmo2", {}),
    ("cohere2", {"sliding_window": 7, "head_dim": 16}),
    ("granite", {}),
    ("gpt_oss", {"sliding_window": 7, "head_dim": 16, "num_local_experts": 4}),
]
LENGTH = 37


def _ids(seed=0, length=LENGTH):
    return torch.randint(0, 250, (1, length), generator=torch.Generator().manual_seed(seed))


def _entropy(weights):
    """Return the entropies over the keys of weights [B, H, N, N], in float64.

    The weights are renormalised first: learned sinks take a part of each row.
    """
    p = weights.double()
    p = p / p.sum(-1, keepdim=True)
    return -(p * torch.where(p > 0, p, 1.0).log()).sum(-1)


@pytest.mark.parametrize(("kind", "extra"), KINDS, ids=[kind for kind, _ in KINDS])
def test_entropies_match_the_models_own_eager_weights(kind, extra):
    subject = model(kind, **extra)
    ids = _ids()
    subject.set_attn_implementation("eager")
    with torch.no_grad():
        own = subject(ids, output_attentions=True, use_cache=False)
        with record(subject, window=True) as recorder:
            ours = subject(ids, use_cache=False)
    scale = max(1.0, float(own.logits.abs().max()))
    assert float((own.logits - ours.logits).abs().max()) <= 1e-4 * scale
    trace = recorder.trace
    assert len(own.attentions) == trace.dataset.sizes["layer"]
    for layer, weights in enumerate(own.attentions):
        wanted = _entropy(weights)[0].numpy()
        np.testing.assert_allclose(trace["entropy"][layer], wanted, atol=2e-5)
        visible_keys = (weights[0, 0] > 0).sum(-1).numpy()
        assert (trace["visible"][layer] >= visible_keys).all()
        p = weights[0].double() / weights[0].double().sum(-1, keepdim=True)
        np.testing.assert_allclose(trace["max_prob"][layer], p.amax(-1), atol=1e-5)
        np.testing.assert_allclose(trace["window"][layer], p, atol=1e-5)


def test_visible_counts_the_keys_of_the_window():
    subject = model("mistral", sliding_window=7)
    with torch.no_grad(), record(subject) as recorder:
        subject(_ids(), use_cache=False)
    wanted = np.minimum(np.arange(LENGTH) + 1, 7)
    np.testing.assert_array_equal(recorder.trace["visible"], np.tile(wanted, (3, 1)))


def test_learned_sinks_are_recorded_beside_the_entropy_of_the_keys():
    subject = model("gpt_oss", sliding_window=7, head_dim=16, num_local_experts=4)
    subject.set_attn_implementation("eager")
    with torch.no_grad():
        weights = subject(_ids(), output_attentions=True, use_cache=False).attentions
        with record(subject) as recorder:
            subject(_ids(), use_cache=False)
    for layer, own in enumerate(weights):
        sink = 1 - own[0].sum(-1).numpy()
        np.testing.assert_allclose(recorder.trace["sink_prob"][layer], sink, atol=1e-5)


@pytest.mark.parametrize(("kind", "extra"), [KINDS[0], KINDS[1], KINDS[3]])
def test_chunks_through_the_cache_give_what_one_pass_gives(kind, extra):
    subject = model(kind, **extra)
    ids = _ids()
    with torch.no_grad():
        with record(subject, length=LENGTH) as whole:
            subject(ids, use_cache=False)
        with record(subject, length=LENGTH) as chunked:
            cache = None
            for start in range(0, LENGTH, 11):
                step = subject(ids[:, start : start + 11], **continuing(cache), use_cache=True)
                cache = cache_of(step)
    np.testing.assert_array_equal(whole.trace["visible"], chunked.trace["visible"])
    np.testing.assert_array_equal(whole.trace["top_key"], chunked.trace["top_key"])
    for name in ("entropy", "max_prob", "distance", "sink_mass"):
        np.testing.assert_allclose(whole.trace[name], chunked.trace[name], atol=2e-4, err_msg=name)


def test_left_padding_leaves_a_row_as_it_was():
    subject = model()
    ids = _ids()
    padded = torch.cat([torch.zeros(1, 5, dtype=torch.int64), ids], 1)
    mask = torch.tensor([[0] * 5 + [1] * LENGTH])
    with torch.no_grad():
        with record(subject) as plain:
            subject(ids, use_cache=False)
        with record(subject) as left:
            positions = (mask.cumsum(-1) - 1).clamp_min(0)
            subject(padded, attention_mask=mask, position_ids=positions, use_cache=False)
    np.testing.assert_array_equal(left.trace["visible"], plain.trace["visible"])
    np.testing.assert_allclose(left.trace["entropy"], plain.trace["entropy"], atol=2e-5)


def test_the_model_gets_its_own_attention_back():
    subject = model()
    before = subject.config._attn_implementation
    with pytest.raises(RuntimeError, match="inside"), record(subject):
        raise RuntimeError("inside")
    assert subject.config._attn_implementation == before
    assert not any(module._forward_hooks for module in subject.modules())


def test_a_model_that_never_calls_the_interface_is_refused():
    subject = model("bloom", n_layer=2, n_head=4, hidden_size=48)
    with pytest.raises(AttentropyError, match="attention"):
        check_same_outputs(subject, _ids(length=8))


def test_a_model_without_attention_is_refused():
    from transformers import AutoModelForCausalLM

    subject = AutoModelForCausalLM.from_config(
        config("mamba", state_size=4, num_hidden_layers=2, expand=2)
    ).eval()
    with pytest.raises(AttentropyError) as caught:
        check_same_outputs(subject, _ids(length=8))
    assert "\n" not in str(caught.value)


def test_a_second_sequence_does_not_overwrite_the_first():
    subject = model()
    with torch.no_grad(), record(subject) as recorder:
        subject(_ids(), use_cache=False)
        subject(_ids(seed=1), use_cache=False)
    for trace, seed in zip(recorder.traces, (0, 1), strict=True):
        assert trace["layer"].tolist() == [0, 1, 2]
        assert trace["token_ids"].tolist() == _ids(seed=seed)[0].tolist()


def test_recording_begun_in_the_middle_of_a_sequence_is_refused():
    subject = model()
    with torch.no_grad():
        cache = cache_of(subject(_ids(), use_cache=True))
        with record(subject), pytest.raises(AttentropyError, match="middle"):
            subject(_ids(length=3), **continuing(cache), use_cache=True)
