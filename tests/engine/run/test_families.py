"""Families whose layers, caches or attention are laid out in a way of their own."""

import numpy as np
import pytest
import torch
from transformers import (
    AlbertConfig,
    AlbertForMaskedLM,
    DebertaV2Config,
    DebertaV2ForMaskedLM,
    LlamaConfig,
    LlamaForSequenceClassification,
    T5Config,
    T5ForConditionalGeneration,
    ViTConfig,
    ViTModel,
)

import tiny
from attentropy.engine.cost.predict import describe
from attentropy.engine.errors import AttentropyError
from attentropy.engine.record.record import record
from attentropy.engine.run.extract import extract
from eager import eager_entropies

IDS = [(i * 37) % 250 + 3 for i in range(40)]
_DECODER = {
    "d_model": 48, "encoder_attention_heads": 4, "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "pad_token_id": 1,
}  # fmt: skip
# A model's type and configuration, and the layers that have attention.
FAMILIES = {
    "no layer numbers": ("zamba2", {
        "num_hidden_layers": 6, "hybrid_layer_ids": [2, 4], "mamba_d_state": 16,
        "layers_block_type": ["mamba", "mamba", "hybrid", "mamba", "hybrid", "mamba"],
        "n_mamba_heads": 4, "mamba_ngroups": 1, "mamba_headdim": 24, "chunk_size": 16,
        "attention_hidden_size": 96, "attention_head_dim": 24, "num_key_value_heads": 4,
    }, [2, 4]),
    "states besides the cache's layers": ("minimax", {
        "num_local_experts": 2, "head_dim": 12, "block_size": 16,
        "layer_types": ["full_attention", "linear_attention", "full_attention"],
    }, [0, 2]),
    "a cache that miscounts its tokens": ("minimax", {
        "num_local_experts": 2, "head_dim": 12, "block_size": 16,
        "layer_types": ["linear_attention", "full_attention", "linear_attention"],
    }, [1]),
    "more layers in the encoder": ("bart", _DECODER | {
        "num_hidden_layers": 3, "encoder_layers": 3, "decoder_layers": 2,
    }, [0, 1]),
    "more layers in the decoder": ("marian", _DECODER | {
        "num_hidden_layers": 1, "encoder_layers": 1, "decoder_layers": 2,
    }, [0, 1]),
    "a decoder of speech": ("whisper", _DECODER | {
        "num_hidden_layers": 3, "encoder_layers": 3, "decoder_layers": 2,
    }, [0, 1]),
}  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
def test_entropies_of_prompt_and_answer_are_eagers(family):
    kind, sizes, layers = FAMILIES[family]
    model = tiny.model(kind, **sizes)
    trace = extract(model, IDS, tokenizer=tiny.tokenizer(None), max_new_tokens=6, chunk=16)
    entropy = trace["entropy"]
    recorded = [i for i in range(len(entropy)) if np.isfinite(entropy[i]).all()]
    assert trace["layer"][recorded].tolist() == layers
    assert np.isnan(np.delete(entropy, recorded, 0)).all()
    ids = torch.tensor(trace["token_ids"][None]).long()
    assert ids.shape[1] > len(IDS)
    wanted = [
        one[0]
        for one in eager_entropies(model, input_ids=ids, use_cache=False)
        if one.shape[-1] == ids.shape[1]  # MiniMax also gives the states of linear attention
    ]
    for entry, expected in zip(recorded, wanted, strict=True):
        np.testing.assert_allclose(entropy[entry], expected, atol=2e-5)
    with torch.no_grad():
        logprobs = model(ids, use_cache=False).logits[0].double().log_softmax(-1)
    np.testing.assert_allclose(
        trace["lens_entropy"][0, -1], -(logprobs.exp() * logprobs).sum(-1), atol=1e-4
    )
    assert trace["generated_ids"][0] == int(logprobs[len(IDS) - 1].argmax())


def test_the_lens_alone_is_read_where_attention_is_the_models_own():
    causal = tiny.model("bloom", n_layer=2, n_head=4)
    torch.manual_seed(0)
    masked = DebertaV2ForMaskedLM(DebertaV2Config(
        vocab_size=264, hidden_size=48, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4,
    )).eval()  # fmt: skip
    for model, is_causal in ((causal, True), (masked, False)):
        options = {"tokenizer": tiny.tokenizer(None), "max_new_tokens": 3}
        with pytest.raises(AttentropyError, match=r'own attention .*`stats="none"` a run reads'):
            extract(model, IDS, **options)
        trace = extract(model, IDS, stats="none", **options)
        ids = torch.tensor(trace["token_ids"][None]).long()
        with torch.no_grad():
            logprobs = model(ids).logits[0].double().log_softmax(-1)
        wanted = -(logprobs.exp() * logprobs).sum(-1)
        np.testing.assert_allclose(trace["lens_entropy"][0, -1], wanted, atol=1e-4)
        assert np.isnan(trace["entropy"]).all()
        assert ("generated_ids" in trace.dataset.variables) == is_causal
        notes = " ".join(trace.attrs["notes"])
        assert ("masked language model" in notes) != is_causal


class Together(torch.nn.Linear):
    """A product whose digits depend on all tokens of a pass, as those of LLM.int8 do."""

    def forward(self, values):
        step = values.abs().max() / 8
        return super().forward((values / step).round() * step)


@pytest.mark.parametrize("is_quantized", [False, True])
def test_a_model_whose_outputs_depend_on_the_tokens_of_a_pass_is_read_in_one(is_quantized):
    model = tiny.model()
    for layer in model.model.layers:
        layer.mlp.down_proj.__class__ = Together
    model.is_quantized = is_quantized
    trace = extract(model, IDS, tokenizer=tiny.tokenizer(None), max_new_tokens=2, chunk=16)
    (note,) = (n for n in trace.attrs["notes"] if "one pass" in n)
    assert "depend on which tokens are read together; without attentropy too" in note
    assert ("(its weights are quantized)" in note) == is_quantized
    ids = torch.tensor(trace["token_ids"][None]).long()
    for entropy, expected in zip(
        trace["entropy"], eager_entropies(model, input_ids=ids, use_cache=False), strict=True
    ):
        np.testing.assert_allclose(entropy, expected[0], atol=2e-5)


def _albert():
    return AlbertForMaskedLM(AlbertConfig(
        vocab_size=264, embedding_size=48, hidden_size=48, intermediate_size=64,
        num_attention_heads=4, num_hidden_layers=3,
    )).eval()  # fmt: skip


def test_layers_that_share_one_attention_module_are_refused():
    model = _albert()
    for use in (
        lambda: extract(model, IDS, tokenizer=tiny.tokenizer(None)),
        lambda: record(model).__enter__(),
    ):
        with pytest.raises(AttentropyError, match="share one attention module are not supported"):
            use()


_SMALL = {"hidden_size": 48, "intermediate_size": 64, "num_attention_heads": 4}
SAVED = {
    "classifier": (
        lambda: LlamaForSequenceClassification(LlamaConfig(
            vocab_size=264, num_hidden_layers=1, num_labels=1, pad_token_id=0, **_SMALL
        )),
        "was saved as LlamaForSequenceClassification, without the head .* attentropy.record",
    ),
    "base": (lambda: tiny.model().model, "was saved as LlamaModel, without the head"),
    "encoder-decoder": (
        lambda: T5ForConditionalGeneration(T5Config(
            vocab_size=264, d_model=32, d_ff=32, d_kv=8, num_layers=1, num_heads=4
        )),
        "type 't5' have an encoder and a decoder",
    ),
    "images": (
        lambda: ViTModel(ViTConfig(num_hidden_layers=1, image_size=16, patch_size=4, **_SMALL)),
        "type 'vit' are not language models",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", SAVED)
def test_a_folder_of_another_kind_is_refused_with_what_to_do(kind, tmp_path):
    make, message = SAVED[kind]
    make().save_pretrained(tmp_path)
    tiny.tokenizer(None).save_pretrained(tmp_path)
    with pytest.raises(AttentropyError, match=message) as refusal:
        extract(tmp_path, "Hello", device="cpu")
    assert "\n" not in str(refusal.value)
    assert describe(tmp_path)["type"]
