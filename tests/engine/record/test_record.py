"""`record` is used as README shows it, and its traces have what those of `extract` have."""

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from attentropy.engine.attention import weights
from attentropy.engine.errors import AttentropyError, UsageError
from attentropy.engine.model.cache import cache_of, continuing
from attentropy.engine.record.record import record
from attentropy.engine.run.extract import extract
from attentropy.engine.trace.dataset import Trace
from tiny import model, save, tokenizer

IDS = torch.tensor([[256, 258, 71, 72, 257, 258, 64]])


@pytest.fixture(scope="module")
def subject(tmp_path_factory):
    """Return a model as `from_pretrained` gives it, with gradients."""
    folder = save(tmp_path_factory.mktemp("models") / "tiny")
    return AutoModelForCausalLM.from_pretrained(folder).eval()


@pytest.fixture(scope="module")
def recorder(subject):
    with record(subject, tokenizer=tokenizer()) as recorder:
        subject(IDS)
    return recorder


def test_a_fresh_model_is_recorded_without_gradients(subject):
    assert torch.is_grad_enabled()
    assert next(subject.parameters()).requires_grad
    with record(subject) as recorder:
        output = subject(IDS)
    assert torch.is_grad_enabled()
    assert not output.logits.requires_grad
    assert recorder.trace["entropy"].shape == (3, 4, 7)


def test_the_trace_has_tokens_roles_facts_and_provenance(subject, recorder, tmp_path):
    trace = recorder.trace
    wanted = extract(
        subject, IDS, tokenizer=tokenizer(), stats="all", lens="none", scores=False,
        max_new_tokens=0,
    )  # fmt: skip
    assert trace.tokens == ["<|bos|>", "<|start|>", "h", "i", "<|end|>", "<|start|>", "a"]
    assert trace.roles[:2] == ["bos", "template"]
    for name in ("token_ids", "token_text", "role", "byte_start", "byte_end", "entropy", "top_key"):
        np.testing.assert_array_equal(trace[name], wanted[name], err_msg=name)
    for name in ("model", "tokenizer", "versions", "implementation", "prompt", "notes"):
        assert trace.attrs[name] == wanted.attrs[name]
    assert trace.attrs["options"]["stats"] == ["entropy", "max_prob", "distance", "sink_mass",
                                               "top_key", "lse"]  # fmt: skip
    assert trace.attrs["model"]["name"] == "tiny"
    path = trace.save(tmp_path / "t.zarr.zip")
    assert Trace.open(path).tokens == trace.tokens
    assert "attention entropy" in trace.to_html()


def test_without_a_tokenizer_the_ids_are_the_names(subject):
    with record(subject) as recorder:
        subject(input_ids=IDS)
    assert recorder.trace["token_ids"].tolist() == IDS[0].tolist()
    assert recorder.trace.tokens == [f"[{token}]" for token in IDS[0].tolist()]
    assert recorder.trace.attrs["tokenizer"] is None


def test_embeddings_have_no_ids(subject):
    with record(subject, tokenizer=tokenizer()) as recorder:
        subject(inputs_embeds=subject.get_input_embeddings()(IDS))
    assert recorder.trace["token_ids"].tolist() == [-1] * 7
    assert set(recorder.trace.tokens) == {"[?]"}


def test_ids_after_embeddings_stand_in_their_place(subject):
    with record(subject, tokenizer=tokenizer(), length=7) as recorder:
        embeddings = subject.get_input_embeddings()(IDS[:, :4])
        cache = cache_of(subject(inputs_embeds=embeddings, use_cache=True))
        subject(IDS[:, 4:], **continuing(cache))
    assert recorder.trace["token_ids"].tolist() == [-1] * 4 + IDS[0, 4:].tolist()
    assert recorder.trace.tokens == ["[?]"] * 4 + ["<|end|>", "<|start|>", "a"]


@pytest.mark.parametrize("side", ["left", "right"])
def test_each_sequence_of_a_batch_has_its_own_tokens(subject, side):
    rows = [IDS[0].tolist(), [70, 71, 72]]
    padded, mask = [], []
    for row in rows:
        rest = 7 - len(row)
        left, right = (rest, 0) if side == "left" else (0, rest)
        padded.append([257] * left + row + [257] * right)
        mask.append([0] * left + [1] * len(row) + [0] * right)
    with record(subject, tokenizer=tokenizer()) as recorder:
        subject(torch.tensor(padded), attention_mask=torch.tensor(mask))
    assert [trace["token_ids"].tolist() for trace in recorder.traces] == rows
    with pytest.raises(AttentropyError, match=r"this batch has 2 sequences; use recorder\.traces"):
        _ = recorder.trace


def test_chunks_and_generation_name_the_tokens_that_the_model_read(subject):
    with record(subject, tokenizer=tokenizer()) as recorder:
        out = subject.generate(IDS, max_new_tokens=5, min_new_tokens=5, do_sample=False)
    assert recorder.trace["token_ids"].tolist() == out[0, :-1].tolist()
    with record(subject) as recorder:
        cache = cache_of(subject(IDS[:, :3], use_cache=True))
        subject(IDS[:, 3:], **continuing(cache))
    assert recorder.trace["token_ids"].tolist() == IDS[0].tolist()


def test_passes_of_the_base_model_are_followed(subject):
    with record(subject) as recorder:
        subject.model(IDS)
    assert recorder.trace["token_ids"].tolist() == IDS[0].tolist()
    with pytest.raises(AttentropyError, match="gradients"), record(subject), torch.enable_grad():
        subject.model(IDS)


def test_nothing_recorded_is_no_trace(subject):
    with record(subject) as recorder:
        pass
    for name in ("trace", "traces"):
        with pytest.raises(AttentropyError, match="nothing was recorded; run the model inside"):
            getattr(recorder, name)


def test_a_failed_pass_is_no_trace(subject, monkeypatch):
    def fail(*args, **kwargs):
        raise RuntimeError("the device is lost")

    monkeypatch.setattr(subject.model.layers[1].mlp, "forward", fail)
    with pytest.raises(RuntimeError, match="device"), record(subject) as recorder:
        subject(IDS)
    with pytest.raises(
        AttentropyError, match=r"a forward pass failed .*; run it again in a new record"
    ):
        _ = recorder.trace


def test_a_pass_that_never_began_does_no_harm(subject):
    with record(subject) as recorder:
        with pytest.raises(Exception, match="input_ids"):
            subject()
        subject(IDS)
    assert len(recorder.trace.tokens) == 7


def test_a_recording_that_is_refused_at_its_end_is_no_trace(subject):
    with pytest.raises(AttentropyError, match="reordered or cropped"), record(subject) as recorder:
        cache_of(subject(IDS, use_cache=True)).crop(-4)
    with pytest.raises(AttentropyError, match="reordered or cropped"):
        _ = recorder.trace


def test_training_is_refused_in_one_sentence():
    subject = model()
    with pytest.raises(AttentropyError, match=r"call model\.eval\(\)"), record(subject.train()):
        pass
    with record(subject.eval()):
        refused = pytest.raises(AttentropyError, match="gradients are enabled inside record")
        with refused, torch.enable_grad():
            subject(IDS)
        subject.train()
        with pytest.raises(AttentropyError, match="training mode"):
            subject(IDS)


@pytest.mark.parametrize("stats", ["entropy", ("entropy",), ["entropy", "lse"]])
def test_statistics_are_one_text_or_several(subject, stats):
    with record(subject, stats=stats) as recorder:
        subject(IDS)
    assert set(recorder.trace.keys()) == {"entropy", "lse", "visible"}


def test_exact_weights_are_computed_only_where_they_are_wanted(subject, monkeypatch):
    sweeps = []
    sweep = weights.attention_window
    monkeypatch.setattr(
        weights, "attention_window", lambda *a, **k: sweeps.append(1) or sweep(*a, **k)
    )
    with record(subject) as recorder:
        subject(IDS)
    assert not {"window", "window_query"} & set(recorder.trace.dataset.variables)
    assert sweeps == []
    with record(subject, window=True) as recorder:
        subject(IDS)
    np.testing.assert_allclose(recorder.trace["window"].sum(-1), 1, atol=1e-5)
    assert len(sweeps) == 3  # layers


def test_shares_of_the_entropy_come_from_the_weights_sweep(subject, monkeypatch):
    sweeps = []
    sweep = weights.attention_window
    monkeypatch.setattr(
        weights, "attention_window", lambda *a, **k: sweeps.append(1) or sweep(*a, **k)
    )
    draw = torch.Generator().manual_seed(0)
    query, key = torch.randn(2, 1, 4, 9, 8, generator=draw).unbind()
    hidden = torch.ones(9, 9).triu(1) > 0
    scores = (query.double() @ key.double().mT / 8**0.5).masked_fill(hidden, -torch.inf)
    p, lse = scores.softmax(-1), scores.logsumexp(-1).float()
    mean, shares = weights.exact_weights(
        query, key, lse, (3, 9), (0, 9), {}, per_head=False, shares=True
    )
    assert len(sweeps) == 1
    np.testing.assert_allclose(mean[0], p[0, :, 3:].mean(0), atol=1e-6)
    np.testing.assert_allclose(shares[0], torch.special.entr(p)[0, :, 3:].mean(0), atol=1e-6)
    assert (shares >= 0).all()


def test_padding_is_probed_only_where_there_is_some(subject):
    passes = []
    handle = subject.register_forward_pre_hook(lambda *args: passes.append(1))
    try:
        with record(subject):  # its check has been made
            pass
        passes.clear()
        with record(subject):
            subject(IDS)
            subject(IDS, attention_mask=torch.ones_like(IDS))
        assert len(passes) == 2
    finally:
        handle.remove()


def test_arguments_that_cannot_work_are_refused_before_a_pass(subject):
    with pytest.raises(UsageError, match="`stats` must be"), record(subject, stats="entropie"):
        pass
    with pytest.raises(UsageError, match="`tokenizer` must be a transformers tokenizer, not str"):
        record(subject, tokenizer="gpt2").__enter__()
    assert not subject._forward_hooks
    assert torch.is_grad_enabled()
