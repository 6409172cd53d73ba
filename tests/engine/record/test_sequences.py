"""Passes, sequences and models in one recording are told apart by what they are."""

import threading

import numpy as np
import pytest
import torch
from transformers import DynamicCache, LlamaForCausalLM

from attentropy.engine.coverage.classes import find_class
from attentropy.engine.coverage.tiny import tiny_model
from attentropy.engine.errors import AttentropyError
from attentropy.engine.model.cache import cache_of, continuing
from attentropy.engine.record.record import record
from attentropy.engine.run.extract import extract
from eager import assert_eager
from tiny import config, model, tokenizer

A, B = torch.tensor([[5, 6, 7, 8, 9]]), torch.tensor([[5, 6, 70, 8, 9]])


@pytest.mark.parametrize("second", [B, B[:, :3], torch.cat([A, B], 1), A])
def test_each_prompt_is_a_trace_of_its_own(second):
    subject = model()
    with record(subject) as recorder:
        subject(A)
        subject(second)
    assert len(recorder.traces) == 2
    for trace, ids in zip(recorder.traces, (A, second), strict=True):
        assert trace["layer"].tolist() == [0, 1, 2]
        assert trace["token_ids"].tolist() == ids[0].tolist()
        assert_eager(trace, subject, input_ids=ids)
    with pytest.raises(AttentropyError, match=r"has 2 sequences; use recorder\.traces"):
        _ = recorder.trace


def test_batches_and_continued_sequences_in_turn():
    subject = model()
    with record(subject) as recorder:
        subject(torch.cat([A, B]))
        cache = cache_of(subject(A[:, :2], use_cache=True))
        subject(A[:, 2:], **continuing(cache))
        subject.generate(B, max_new_tokens=3, min_new_tokens=3)
    assert [len(trace.tokens) for trace in recorder.traces] == [5, 5, 5, 7]
    assert_eager(recorder.traces[2], subject, input_ids=A)


def test_a_sequence_is_not_continued_after_another_began():
    subject = model()
    with record(subject) as recorder:
        cache = cache_of(subject(A, use_cache=True))
        subject(B)
        with pytest.raises(AttentropyError, match="does not continue from the KV cache"):
            subject(A[:, :1], **continuing(cache))
    assert [len(trace.tokens) for trace in recorder.traces] == [5, 5]  # as they were


def test_one_failed_pass_leaves_no_trace_of_the_others(monkeypatch):
    subject = model()
    with record(subject) as recorder:
        subject(A)
        with monkeypatch.context() as patched:
            patched.setattr(subject.model.layers[1].mlp, "forward", lambda x: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                subject(B)
        subject(B)
    with pytest.raises(AttentropyError, match="a forward pass failed"):
        _ = recorder.traces


def test_layers_that_call_twice_in_one_pass_stay_one_sequence():
    subject = tiny_model(find_class("DiffLlamaForCausalLM"))
    calls = []
    for layer in subject.model.layers:
        layer.self_attn.register_forward_hook(lambda *_: calls.append(1))
    with record(subject) as recorder:
        subject(A)
        subject(B)
    first, second = recorder.traces
    np.testing.assert_array_equal(first["call"], second["call"])
    assert first["token_ids"].tolist() == A[0].tolist()


def test_two_models_in_one_with_have_a_trace_each():
    one, other = model(), model(seed=1, num_hidden_layers=2)
    with record(one) as first, record(other) as second:
        one(A)
        other(B)
        one(B)
    assert [len(trace["layer"]) for trace in first.traces] == [3, 3]
    assert_eager(first.traces[1], one, input_ids=B)
    assert_eager(second.trace, other, input_ids=B)


@torch.no_grad()
def test_recordings_may_end_in_any_order():
    one, other = model(), model(seed=1)
    first, second = record(one), record(other)
    recorders = first.__enter__(), second.__enter__()
    first.__exit__(None, None, None)
    other(A)
    second.__exit__(None, None, None)
    assert_eager(recorders[1].trace, other, input_ids=A)
    for subject in (one, other):
        assert subject.config._attn_implementation == "sdpa"
    with record(one) as recorder:
        one(A)
    assert_eager(recorder.trace, one, input_ids=A)


def test_a_model_that_shares_its_configuration_is_not_taken_for_another():
    shared = config()
    one, other = (LlamaForCausalLM(shared).eval() for _ in range(2))
    with record(one) as recorder:
        one(A)
        with torch.no_grad():
            outputs = other(B).logits
    assert_eager(recorder.trace, one, input_ids=A)
    with torch.no_grad():
        torch.testing.assert_close(other(B).logits, outputs)
    with record(one), pytest.raises(AttentropyError, match="shares its configuration"):
        record(other).__enter__()


@pytest.mark.parametrize(
    "again",
    [
        lambda subject: record(subject).__enter__(),
        lambda subject: record(subject.model).__enter__(),
        lambda subject: record(torch.compile(subject, backend="eager")).__enter__(),
        lambda subject: extract(subject, "hi", tokenizer=tokenizer()),
    ],
    ids=["record", "its base", "compiled", "extract"],
)
def test_one_model_is_recorded_once_at_a_time(again):
    subject = model()
    with record(subject) as recorder:
        with pytest.raises(AttentropyError, match="already being recorded") as caught:
            again(subject)
        subject(A)
    assert "\n" not in str(caught.value)
    assert_eager(recorder.trace, subject, input_ids=A)


def test_a_part_of_the_model_run_alone_is_no_pass():
    subject = model()
    with record(subject), pytest.raises(AttentropyError, match=r"not model\.forward"):
        subject.model.forward(A)


def test_asked_for_weights_the_pass_is_refused():
    subject = model()
    with record(subject) as recorder:
        with pytest.raises(AttentropyError, match="no attention weights exist"):
            subject(A, output_attentions=True)
        with pytest.raises(AttentropyError, match="no attention weights exist"):
            subject.generate(
                A, max_new_tokens=2, output_attentions=True, return_dict_in_generate=True
            )
        subject(A)
    assert_eager(recorder.trace, subject, input_ids=A)


def test_two_prompts_at_once_through_guidance_are_refused():
    subject = model()
    with record(subject), pytest.raises(AttentropyError) as caught:
        subject.generate(A, max_new_tokens=3, guidance_scale=2.0, do_sample=False)
    assert "\n" not in str(caught.value)


def test_a_cache_that_was_filled_before_is_refused_and_leaves_no_half_trace():
    subject = model()
    cache = DynamicCache(config=subject.config)
    with torch.no_grad():
        subject(A, **continuing(cache))
    with record(subject) as recorder, pytest.raises(AttentropyError, match="middle of a sequence"):
        subject(B, **continuing(cache))
    with pytest.raises(AttentropyError, match="nothing was recorded"):
        _ = recorder.traces


def test_threads_record_their_models_and_no_other():
    subject, other = model(), model(seed=1)
    with record(subject) as recorder:
        thread = threading.Thread(
            target=lambda: (other.generate(B), subject.generate(A, max_new_tokens=4))
        )
        thread.start()
        thread.join()
    trace = recorder.trace
    assert trace["token_ids"].tolist()[:5] == A[0].tolist()
    assert set(trace.roles[5:]) == {"generated"}
    assert_eager(trace, subject, input_ids=torch.tensor(trace["token_ids"][None]).long())
