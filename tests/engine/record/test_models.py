"""Every model that reads tokens is recorded, whatever is around it; others are refused."""

import numpy as np
import pytest
import torch
import transformers
from transformers import (
    BertForMaskedLM,
    BertForSequenceClassification,
    LlamaForQuestionAnswering,
    LlamaForSequenceClassification,
    ModernBertForMaskedLM,
)

import vision
from attentropy.engine.coverage.tiny import tiny_model
from attentropy.engine.errors import AttentropyError, UsageError
from attentropy.engine.record.record import record
from attentropy.engine.run.extract import extract
from eager import assert_eager
from tiny import config, tokenizer

IDS = torch.randint(3, 250, (1, 20), generator=torch.Generator().manual_seed(0))


class TestOneOutputPerText:
    @pytest.mark.parametrize(
        ("kind", "class_", "extra"),
        [
            ("llama", LlamaForSequenceClassification, {"num_labels": 1}),
            ("llama", LlamaForSequenceClassification, {"num_labels": 3}),
            ("llama", LlamaForQuestionAnswering, {}),
            ("bert", BertForSequenceClassification, {"num_labels": 2}),
        ],
    )
    def test_its_attention_is_that_of_its_base(self, kind, class_, extra):
        torch.manual_seed(0)
        subject = class_(config(kind, **extra)).eval()
        with record(subject, tokenizer=tokenizer()) as recorder:
            subject(input_ids=IDS)
        assert_eager(recorder.trace, subject, input_ids=IDS)
        assert recorder.trace["token_ids"].tolist() == IDS[0].tolist()

    def test_extract_has_nothing_to_answer_with(self):
        subject = LlamaForSequenceClassification(config(num_labels=1)).eval()
        for part in (subject, subject.model):
            with pytest.raises(UsageError, match=r"no head .* with attentropy\.record"):
                extract(part, IDS, tokenizer=tokenizer())

    def test_padding_is_checked_in_its_base(self):
        torch.manual_seed(0)
        subject = LlamaForSequenceClassification(config(num_labels=1)).eval()
        ids = torch.cat([IDS, IDS.flip(1)])
        mask = torch.ones_like(ids)
        mask[1, :5] = 0
        with record(subject) as recorder:
            subject(input_ids=ids, attention_mask=mask)
        assert [len(trace.tokens) for trace in recorder.traces] == [20, 15]
        with record(subject) as alone:
            subject(input_ids=ids[1:, 5:], position_ids=torch.arange(5, 20)[None])
        np.testing.assert_allclose(recorder.traces[1]["entropy"], alone.trace["entropy"], atol=1e-5)

    def test_other_outputs_are_noticed_in_its_base(self, monkeypatch):
        from attentropy.engine.attention import hook

        subject, right = LlamaForSequenceClassification(config(num_labels=1)).eval(), hook.attention
        with torch.no_grad():
            for parameter in subject.parameters():
                parameter.mul_(6.0 if parameter.ndim == 2 else 1.0)
            subject.score.weight.mul_(1e-6)  # a score that is the same whatever attention does
        monkeypatch.setattr(
            hook, "attention", lambda *t, scale, **k: right(*t, scale=scale * 1.2, **k)
        )
        with pytest.raises(AttentropyError, match="different outputs"):
            record(subject).__enter__()


@pytest.mark.parametrize(
    ("class_", "kind", "extra"),
    [
        (BertForMaskedLM, "bert", {}),
        (ModernBertForMaskedLM, "modernbert", {"local_attention": 6, "cls_token_id": 3,
                                               "sep_token_id": 4}),
    ],
)  # fmt: skip
def test_a_masked_lm_has_attention_and_no_next_tokens(class_, kind, extra):
    torch.manual_seed(0)
    subject = class_(config(kind, **extra)).eval()
    with record(subject, tokenizer=tokenizer(), lens="residual") as recorder:
        subject(input_ids=IDS)
    trace = recorder.trace
    assert_eager(trace, subject, input_ids=IDS)
    assert trace.attrs["notes"] == [f"no lens: {class_.__name__} does not predict next tokens"]
    assert not [name for name in set(trace.keys()) if "lens" in name or "target" in name]


class TestImages:
    @pytest.mark.parametrize("make", [vision.llava, vision.qwen2_vl])
    def test_the_language_model_is_recorded_and_the_towers_are_left_alone(self, make):
        subject, inputs = make()
        towers = [
            m
            for m in subject.modules()
            if hasattr(m, "config") and type(m.config).__name__.endswith("VisionConfig")
        ]
        assert towers
        with torch.no_grad():
            own = subject(**inputs).logits
        with record(subject, tokenizer=tokenizer()) as recorder:
            assert {m.config._attn_implementation for m in towers} == {"sdpa"}
            ours = subject(**inputs).logits
        torch.testing.assert_close(ours, own, atol=1e-4, rtol=1e-4)
        trace, ids = recorder.trace, inputs["input_ids"][0].tolist()
        assert_eager(trace, subject, **inputs)
        assert trace["token_ids"].tolist() == ids
        roles = np.where(np.array(ids) == vision.IMAGE, "image", "content").tolist()
        assert trace.roles == roles
        assert trace.attrs["model"]["name"] == type(subject).__name__

    @pytest.mark.parametrize("make", [vision.llava, vision.qwen2_vl])
    def test_generation_after_an_image_has_roles_and_a_lens(self, make, tmp_path):
        subject, inputs = make()
        with record(subject, tokenizer=tokenizer(), lens="residual") as recorder:
            out = subject.generate(**inputs, max_new_tokens=4, min_new_tokens=4, do_sample=False)
        trace, n = recorder.trace, inputs["input_ids"].shape[1]
        assert trace["token_ids"].tolist() == out[0, :-1].tolist()
        assert trace.roles[n:] == ["generated"] * 3
        assert trace["target_ids"][n - 1 :].tolist() == out[0, n:].tolist()
        assert np.isfinite(trace["lens_entropy"]).all()
        type(trace).open(trace.save(tmp_path / "image.zarr.zip"))

    @pytest.mark.parametrize("tokens", [4, 16])  # fewer than the window has, and more
    def test_image_tokens_that_see_each_other_have_the_entropies_of_the_whole_image(self, tokens):
        subject, inputs = vision.gemma3(tokens)
        with record(subject, tokenizer=tokenizer(), lens="residual") as recorder:
            subject(**inputs)
        trace, roles = recorder.trace, recorder.trace.roles
        assert_eager(trace, subject, **inputs)
        first = roles.index("image")
        assert roles.count("image") == tokens
        assert trace["visible"][:, first].max() == first + tokens
        assert not trace.attrs["notes"]
        with record(subject, tokenizer=tokenizer()) as recorder:
            out = subject.generate(**inputs, max_new_tokens=4, min_new_tokens=4, do_sample=False)
        assert recorder.trace.roles[-3:] == ["generated"] * 3
        assert_eager(recorder.trace, subject, **vision.followed(inputs, out[:, :-1]))

    def test_a_text_and_an_image_whose_tokens_see_each_other_are_two_traces(self):
        subject, inputs = vision.gemma3()
        ids = inputs["input_ids"]
        words = torch.arange(20, 20 + ids.shape[1])[None]
        both = vision.followed(inputs, torch.cat([words, ids]))
        with record(subject) as recorder:
            subject(**both)
        for sequence, trace in enumerate(recorder.traces):
            assert_eager(trace, subject, sequence, **both)

    def test_the_base_and_the_language_model_alone_work_as_well(self):
        subject, inputs = vision.llava()
        for part in (subject.model, subject.model.language_model):
            with record(part) as recorder:
                subject.model(**inputs)
            assert_eager(recorder.trace, subject, **inputs)

    def test_two_models_that_read_images_side_by_side(self):
        with record(vision.llava()[0]) as first, record(vision.qwen2_vl()[0]) as second:
            first.whole.model(**vision.llava()[1])
            second.whole.model(**vision.qwen2_vl()[1])
        assert [len(first.trace.tokens), len(second.trace.tokens)] == [21, 11]

    @pytest.mark.parametrize(
        "name", ["ViTModel", "ViTForImageClassification", "CLIPVisionModel", "SiglipVisionModel"]
    )
    def test_a_model_of_images_alone_is_refused(self, name):
        subject = tiny_model(getattr(transformers, name))
        with pytest.raises(AttentropyError, match="reads pixel_values, not token ids") as caught:
            record(subject).__enter__()
        assert "\n" not in str(caught.value)

    def test_of_texts_and_images_side_by_side_the_text_is_recorded(self):
        subject = tiny_model(transformers.CLIPModel)
        ids = torch.arange(20, 34)[None]
        with record(subject) as recorder:
            subject.get_text_features(input_ids=ids)
        assert_eager(recorder.trace, subject.text_model, input_ids=ids)


@pytest.mark.parametrize(
    "name",
    ["BartForConditionalGeneration", "BartModel", "T5ForConditionalGeneration", "MarianMTModel"],
)
def test_encoder_decoders_are_refused_whatever_the_lengths(name):
    subject = tiny_model(getattr(transformers, name))
    with pytest.raises(AttentropyError, match="an encoder and a decoder") as caught:
        record(subject).__enter__()
    assert "\n" not in str(caught.value)


def test_the_encoder_of_an_encoder_decoder_is_recorded():
    encoder = tiny_model(transformers.BartForConditionalGeneration).get_encoder()
    ids = torch.arange(20, 34)[None]
    with record(encoder) as recorder:
        encoder(ids)
    assert_eager(recorder.trace, encoder, input_ids=ids)
