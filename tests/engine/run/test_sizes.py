"""A model's sizes are counted once, and again once its configuration has changed."""

from transformers import LlamaConfig, LlamaForCausalLM

from attentropy.engine.run import prefill


def test_sizes_are_those_of_the_configuration_as_it_is_now(monkeypatch):
    config = LlamaConfig(
        vocab_size=50, hidden_size=16, intermediate_size=24, num_hidden_layers=2,
        num_attention_heads=2, max_position_embeddings=64,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    calls = []
    count = prefill.model_size
    monkeypatch.setattr(prefill, "model_size", lambda config: calls.append(1) or count(config))
    assert prefill.size_of(model).layers == prefill.size_of(model).layers == 2
    assert len(calls) == 1
    config.num_hidden_layers = 3
    assert prefill.size_of(model).layers == 3
    assert len(calls) == 2
    assert prefill.size_of(LlamaForCausalLM(config)).layers == 3
    assert len(calls) == 3
