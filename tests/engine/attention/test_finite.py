"""Outputs that are not finite are the model's own, and named by the token with which they began."""

import numpy as np
import pytest
import torch
from transformers import LlamaForSequenceClassification

from attentropy.engine.attention.selfcheck import check_same_outputs
from attentropy.engine.errors import AttentropyError
from attentropy.engine.model.cache import cache_of, continuing
from attentropy.engine.record.record import record
from attentropy.engine.run.extract import extract
from tiny import config, model, tokenizer

IDS = torch.arange(10, 50)[None]
NOTE = "the model's own outputs are not finite from token {} on; try another dtype"


def _spoiled(at, value=float("inf"), subject=None):
    subject = subject or model()
    with torch.no_grad():
        subject.get_input_embeddings().weight[int(IDS[0, at])] = value
    return subject


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
@pytest.mark.parametrize("at", [33, 38])
def test_after_the_probe_it_is_noted(at, value):
    subject = _spoiled(at, value)
    options = {"tokenizer": tokenizer(), "scores": False, "max_new_tokens": 1}
    assert extract(subject, IDS, test_sources="none", **options).attrs["notes"] == [NOTE.format(at)]
    with record(subject) as recorder:
        subject(IDS)
        subject(IDS[:, :at])
    assert [trace.attrs["notes"] for trace in recorder.traces] == [[NOTE.format(at)], []]


def test_in_a_part_of_the_probe_that_is_not_recorded_the_token_is_the_right_one():
    with pytest.raises(AttentropyError, match=NOTE.format(20)):
        extract(_spoiled(20), IDS, tokenizer=tokenizer())


@pytest.mark.parametrize(
    "use",
    [
        lambda subject: extract(subject, IDS, tokenizer=tokenizer()),
        lambda subject: check_same_outputs(subject, IDS[:, :16]),
    ],
    ids=["extract", "check"],
)
def test_within_the_probe_it_is_refused_and_not_blamed_on_the_recording(use):
    with pytest.raises(AttentropyError) as caught:
        use(_spoiled(3))
    assert str(caught.value) == f"LlamaForCausalLM: {NOTE.format(3)}"


def test_of_a_model_that_was_used_before_it_is_noted_within_the_probe_too():
    subject = _spoiled(3)
    options = {"tokenizer": tokenizer(), "scores": False, "max_new_tokens": 1}
    extract(subject, IDS[:, 20:], **options)
    for chunk in (None, 13):
        notes = extract(subject, IDS, chunk=chunk, test_sources="none", **options).attrs["notes"]
        assert notes[-1] == NOTE.format(3)
        assert not [note for note in notes if "nan" in note or "different" in note]


@pytest.mark.parametrize("chunk", [7, 13])
def test_in_chunks_and_continued_it_is_noted_once(chunk, tmp_path):
    subject = _spoiled(35)
    options = {"tokenizer": tokenizer(), "scores": False, "max_new_tokens": 1, "chunk": chunk}
    trace = extract(subject, IDS, output=tmp_path / "t.zarr", test_sources="none", **options)
    assert trace.attrs["notes"] == [NOTE.format(35)]
    assert np.isnan(trace["entropy"][0, :, 35:]).all()


def test_each_sequence_of_a_batch_has_its_own_note():
    subject = _spoiled(20)
    batch = torch.cat([IDS, IDS + 60])
    mask = torch.ones_like(batch)
    mask[0, :5] = 0
    with record(subject) as recorder:
        subject(batch, attention_mask=mask)
    assert [t.attrs["notes"] for t in recorder.traces] == [[NOTE.format(15)], []]


def test_through_the_cache_positions_are_those_of_the_sequence():
    subject = _spoiled(30)
    with record(subject) as recorder:
        cache = cache_of(subject(IDS[:, :25], use_cache=True))
        subject(IDS[:, 25:], **continuing(cache))
    assert recorder.trace.attrs["notes"] == [NOTE.format(30)]


def test_an_overflow_after_the_last_attention_is_noted_too():
    subject = model()
    wide = subject.lm_head.weight.detach().clone()

    def overflow(module, args, output):
        output[:, 20:] = float("inf")

    handle = subject.lm_head.register_forward_hook(overflow)
    with record(subject) as recorder:
        subject(IDS)
    handle.remove()
    assert recorder.trace.attrs["notes"] == [NOTE.format(20)]
    assert np.isfinite(recorder.trace["entropy"]).all()
    assert torch.equal(subject.lm_head.weight, wide)


def test_a_classifiers_rows_are_those_of_its_base():
    torch.manual_seed(0)
    subject = _spoiled(20, subject=LlamaForSequenceClassification(config(num_labels=1)).eval())
    with record(subject) as recorder:
        subject(input_ids=IDS)
    assert recorder.trace.attrs["notes"] == [NOTE.format(20)]


def test_logits_of_minus_infinity_are_a_models_right():
    subject = model()

    def forbid(module, args, output):
        output[..., 250:] = float("-inf")

    subject.lm_head.register_forward_hook(forbid)
    with record(subject) as recorder:
        subject(IDS)
    assert recorder.trace.attrs["notes"] == []
