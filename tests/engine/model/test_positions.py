"""Positions are found under every configuration name, and as far as they are usable."""

import pytest
import torch
from transformers import (
    BertConfig,
    BertForMaskedLM,
    RobertaConfig,
    RobertaForMaskedLM,
    WhisperConfig,
    WhisperForCausalLM,
)

import tiny
from attentropy.engine.errors import UsageError
from attentropy.engine.model.positions import usable_positions
from attentropy.engine.run.extract import extract

_SIZES = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2} | {
    "num_attention_heads": 2, "vocab_size": 264,
}  # fmt: skip


def _whisper():
    return WhisperForCausalLM(
        WhisperConfig(
            d_model=32, encoder_layers=1, decoder_layers=2, encoder_attention_heads=2,
            decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32, vocab_size=264,
            max_source_positions=20, max_target_positions=40, pad_token_id=0, bos_token_id=1,
            eos_token_id=2, decoder_start_token_id=1,
        )
    )  # fmt: skip


MODELS = {
    "whisper": (_whisper, 40),
    "roberta": (
        lambda: RobertaForMaskedLM(RobertaConfig(**_SIZES, max_position_embeddings=42)), 40
    ),
    "bert": (lambda: BertForMaskedLM(BertConfig(**_SIZES, max_position_embeddings=40)), 40),
    "gpt2": (lambda: tiny.model("gpt2", max_position_embeddings=40), 40),
    "opt": (
        lambda: tiny.model("opt", max_position_embeddings=40, word_embed_proj_dim=48, ffn_dim=64),
        40,
    ),
    "mpt": (
        lambda: tiny.model(
            "mpt", max_seq_len=40, d_model=48, n_heads=4, n_layers=2, max_position_embeddings=None
        ),
        40,
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", MODELS)
def test_a_text_has_at_most_the_positions_that_the_model_can_use(kind):
    make, wanted = MODELS[kind]
    model = make().eval()
    assert usable_positions(model) == wanted
    with torch.no_grad():  # the oracle: the model itself reads so many tokens
        model(torch.arange(10, 10 + wanted)[None])
    with pytest.raises(UsageError) as refusal:
        extract(model, list(range(10, 60)), tokenizer=tiny.tokenizer())
    words = str(refusal.value)
    assert "50 tokens" in words
    assert "only 40" in words


def test_a_text_as_long_as_the_positions_is_read():
    for kind in ("whisper", "roberta"):
        model = MODELS[kind][0]().eval()
        trace = extract(model, list(range(10, 50)), tokenizer=tiny.tokenizer(), lens="none")
        assert len(trace["token_ids"]) == 40
        assert trace.attrs["model"]["positions"] == 40
