"""What the answer attends to, per unit, is the float64 sum of transformers' eager weights."""

import numpy as np
import pytest
import torch

import traces
from attentropy.engine.attention import window_size
from attentropy.engine.run.extract import extract
from attentropy.engine.trace.dataset import Trace
from tiny import model, tokenizer

IDS = torch.randint(0, 250, (23,), generator=torch.Generator().manual_seed(4)).tolist()
FAMILIES = {
    "llama": ("llama", {}),
    "sliding": ("mistral", {"sliding_window": 9}),
    "learned sinks": ("gpt_oss", {"sliding_window": 9, "head_dim": 16, "num_local_experts": 4}),
}
ANSWER = 12


def _eager(subject, trace):
    """Return the model's own weights over the keys, [layer, head, query, key] float64."""
    before = subject.config._attn_implementation
    subject.set_attn_implementation("eager")
    with torch.no_grad():
        ids = torch.tensor([trace["token_ids"].tolist()])
        weights = subject(ids, output_attentions=True, use_cache=False).attentions
    subject.set_attn_implementation(before)
    p = torch.stack([w[0] for w in weights]).double()
    return (p / p.sum(-1, keepdim=True)).numpy()


@pytest.fixture(scope="module", params=FAMILIES)
def answered(request):
    kind, extra = FAMILIES[request.param]
    subject = model(kind, num_hidden_layers=2, **extra)
    subject.config.eos_token_id = subject.generation_config.eos_token_id = None
    own = tokenizer(template=None)
    own.eos_token = None
    options = {"tokenizer": own, "max_new_tokens": ANSWER, "chunk": 8, "lens": "none"}
    trace = extract(subject, IDS, **options)
    return subject, options, trace, _eager(subject, trace)


def _named(trace):
    """Return the trace with two segments, and their positions."""
    names = np.array([""] * len(trace.tokens), np.dtypes.StringDType())
    names[2:9], names[9:20] = "document", "question"
    return Trace(trace.dataset.assign_coords(segment=("position", names)))


def test_it_is_the_sum_of_eager_weights_for_every_layer_head_and_key(answered):
    _, _, trace, weights = answered
    n = trace.prompt_tokens
    assert trace["answer_head"].tolist() == list(range(weights.shape[1]))
    np.testing.assert_allclose(trace["answer_attention"], weights[:, :, n:].mean(-2), atol=1e-5)
    np.testing.assert_allclose(trace["answer_attention"].sum(-1), 1, atol=1e-5)


@pytest.mark.parametrize("unit", ["token", "word", "segment"])
def test_a_unit_has_the_sum_over_its_tokens(answered, unit):
    _, _, trace, weights = answered
    named = _named(trace)
    units, rows = named.by(unit, ["entropy", "max_prob"]), weights[:, :, trace.prompt_tokens :]
    entropies = -(weights * np.log(np.where(weights > 0, weights, 1))).sum(-1)
    assert units["answer_attention"].dtype == np.float64
    for i, (a, b) in enumerate(zip(units["start"].values, units["stop"].values, strict=True)):
        got = units["answer_attention"].values[..., i]
        np.testing.assert_allclose(got, rows[..., a:b].sum(-1).mean(-1), atol=1e-5)
        got = units["entropy_sum"].values[..., i]
        np.testing.assert_allclose(got, entropies[..., a:b].sum(-1), atol=1e-5 * (b - a))
        got = units["max_prob_mean"].values[..., i]
        np.testing.assert_allclose(got, weights.max(-1)[..., a:b].mean(-1), atol=1e-5)


def test_it_is_kept_as_the_mean_over_heads_where_all_heads_are_too_many(answered, monkeypatch):
    subject, options, trace, _ = answered
    monkeypatch.setattr(window_size, "WINDOW_BYTES", 64)
    mean = extract(subject, IDS, **options)
    assert mean["answer_head"].tolist() == [-1]
    own = trace["answer_attention"].mean(1, keepdims=True)
    np.testing.assert_allclose(mean["answer_attention"], own, atol=1e-6)


def test_it_is_not_kept_without_an_answer_or_without_what_keys_receive(answered):
    subject, options, _, _ = answered
    for other in ({"max_new_tokens": 0}, {"map_tile": "none"}):
        trace = extract(subject, IDS, **options | other)
        assert "answer_attention" not in trace
        assert "answer_head" not in trace


def test_it_is_stored_and_checked(answered, tmp_path):
    _, _, trace, _ = answered
    again = Trace.open(trace.save(tmp_path / "t.zarr.zip"))
    np.testing.assert_array_equal(again["answer_attention"], trace["answer_attention"])


def test_values_by_unit_are_computed_when_they_are_read():
    trace = traces.synthetic()
    words = trace.by("word", ["entropy"])
    total, read = trace["entropy"].astype(np.float64), []
    whole = words["entropy_sum"].copy(deep=False)
    for name, at in {"one": (2, 1), "some": (slice(1, 3), slice(None), slice(2, 9, 3))}.items():
        part = words["entropy_sum"][at]
        np.testing.assert_array_equal(part.values, whole.values[at], err_msg=name)
        read.append(part.shape)
    assert read == [(words.sizes["word"],), (2, 3, 3)]
    picked = words["entropy_sum"].isel(layer=[4, 0], word=[3, 3, 1])
    np.testing.assert_array_equal(picked.values, whole.values[[4, 0]][:, :, [3, 3, 1]])
    np.testing.assert_allclose(words["entropy_sum"].sum("word"), total.sum(-1), rtol=1e-13)
