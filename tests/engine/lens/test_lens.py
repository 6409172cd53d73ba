"""The lens is the model's own head: norm, unembedding, scale and softcap."""

import pytest
import torch

from attentropy import extract
from attentropy.engine.errors import LensRefused
from attentropy.engine.lens.head import find_lens
from attentropy.engine.lens.lens import Lens, read_layers
from attentropy.engine.lens.points import Point, capture_states
from attentropy.engine.model.layers import decoder_layers
from tiny import model

KINDS = [
    ("llama", {}),
    ("llama", {"tie_word_embeddings": True}),
    ("gemma2", {"head_dim": 16, "query_pre_attn_scalar": 16}),
    ("cohere2", {"head_dim": 16, "logit_scale": 0.25}),
    ("cohere", {"logit_scale": 0.0625}),
    ("granite", {"logits_scaling": 4.0}),
    ("granite", {"logits_scaling": 4.0, "tie_word_embeddings": True}),
    ("gemma2", {"head_dim": 16, "tie_word_embeddings": False, "final_logit_softcapping": 2.0}),
    ("gpt2", {"n_embd": 48, "n_layer": 3, "n_head": 4, "n_positions": 256}),
    ("gpt_neox", {}),
    ("phi", {}),
    ("bert", {"is_decoder": True}),  # its head has additional layers
    ("roberta", {"is_decoder": True, "bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2}),
    ("recurrent_gemma", {"head_dim": 12, "lru_width": 48, "logits_soft_cap": 3.0}),
    (
        "minicpm3",
        {
            "num_key_value_heads": 4,
            "q_lora_rank": 8,
            "kv_lora_rank": 8,
            "qk_rope_head_dim": 8,
            "qk_nope_head_dim": 8,
            "v_head_dim": 12,
        },
    ),
]


def _residuals(subject):
    return {"residual": [Point(layer) for layer in decoder_layers(subject)]}


@pytest.mark.parametrize(("kind", "extra"), KINDS)
def test_the_last_layers_lens_is_the_models_own_distribution(kind, extra):
    subject = model(kind, **extra)
    ids = torch.arange(3, 20)[None]
    with torch.no_grad(), capture_states(_residuals(subject)) as states:
        logits = subject(ids, use_cache=False).logits[0]
    last = states["residual"][-1]
    read = find_lens(subject, ids[:, :8]).read(last, top_k=5, final=last)
    p = logits.double().softmax(-1)
    entropy = -(p * p.log()).nansum(-1)
    assert float((read.entropy.double() - entropy).abs().max()) <= 1e-4
    wanted = p.topk(5)
    torch.testing.assert_close(read.top_logprobs.double(), wanted.values.log(), atol=1e-4, rtol=0)
    assert (p.gather(-1, read.top_ids.long()).log() - wanted.values.log()).abs().max() <= 1e-4
    assert float(read.kl.abs().max()) <= 1e-6


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(("kind", "bias"), [("llama", False), ("gpt_neox", True)])
def test_tied_and_untied_heads_and_norms_with_and_without_bias_are_among_them(kind, bias, tied):
    subject = model(kind, tie_word_embeddings=tied)
    lens = find_lens(subject, torch.arange(8)[None])
    assert (lens.weight is subject.get_input_embeddings().weight) is tied
    assert (getattr(lens.norm, "bias", None) is not None) is bias


def test_rows_beyond_one_block_are_read_as_within_it(embedded, monkeypatch):
    lens = find_lens(embedded.model, torch.arange(8)[None])
    torch.manual_seed(0)
    x, y = torch.randn(2, 23, embedded.model.config.hidden_size)
    targets = torch.arange(23)
    whole = lens.read(x, targets=targets, final=y)
    monkeypatch.setattr("attentropy.engine.lens.lens._ROWS", 7)
    parts = lens.read(x, targets=targets, final=y)
    for name in ("entropy", "kl", "top_logprobs", "target_logprob"):
        torch.testing.assert_close(getattr(parts, name), getattr(whole, name), rtol=0, atol=1e-5)
    assert torch.equal(parts.top_ids, whole.top_ids)


@pytest.mark.parametrize("rows", [4096, 7])
def test_all_layers_read_together_are_as_each_alone(embedded, monkeypatch, rows):
    lens = find_lens(embedded.model, torch.arange(8)[None])
    torch.manual_seed(0)
    states = list(torch.randn(3, 11, embedded.model.config.hidden_size))
    targets = torch.arange(33).view(3, 11)
    alone = [
        lens.read(state, targets=ids, final=states[-1])
        for state, ids in zip(states, targets, strict=True)
    ]
    monkeypatch.setattr("attentropy.engine.lens.lens._ROWS", rows)
    together = read_layers([lens] * 3, states, targets=targets, final=states[-1])
    for one, own in zip(together, alone, strict=True):
        for name in ("entropy", "lse", "kl", "top_logprobs", "target_logprob"):
            torch.testing.assert_close(getattr(one, name), getattr(own, name), rtol=0, atol=1e-5)
        assert torch.equal(one.top_ids, own.top_ids)
        assert torch.equal(one.target_rank, own.target_rank)
    shared = read_layers([lens] * 3, states, targets=targets[1])
    assert torch.equal(shared[1].target_rank, alone[1].target_rank)
    assert shared[0].kl is None
    assert read_layers([], []) == []


def test_all_layers_of_a_short_text_go_through_the_head_at_once(embedded, monkeypatch):
    calls = []
    own = Lens.head_statistics

    def count(self, hidden, *args, **options):
        calls.append(len(hidden))
        return own(self, hidden, *args, **options)

    monkeypatch.setattr(Lens, "head_statistics", count)
    layers = embedded.model.config.num_hidden_layers
    tokens = len(extract(embedded.model, "Hello", tokenizer=embedded.tokenizer, stats="none",
                         max_new_tokens=0, reference=False).tokens)  # fmt: skip
    assert calls == [tokens, layers * tokens]  # what is predicted, then all layers


def test_a_layer_that_runs_twice_is_refused():
    subject = model()
    again = []

    def repeat(layer, args, kwargs, out):
        if not again:
            again.append(True)
            return layer(out, **kwargs)
        return out

    decoder_layers(subject)[1].register_forward_hook(repeat, with_kwargs=True)
    with pytest.raises(LensRefused, match="3 decoder layers gave 4 outputs"):
        find_lens(subject, torch.arange(8)[None])


def test_every_layer_reads_as_a_plain_softmax_over_normed_residuals(embedded):
    ids = torch.arange(10, 40)[None]
    subject = embedded.model
    with torch.no_grad(), capture_states(_residuals(subject)) as states:
        hidden = subject(ids, output_hidden_states=True, use_cache=False).hidden_states
    lens = find_lens(subject, ids[:, :8])
    for residual, state in zip(states["residual"][:-1], hidden[1:-1], strict=True):
        with torch.no_grad():
            p = subject.lm_head(subject.model.norm(state))[0].double().softmax(-1)
        read = lens.read(residual, top_k=5)
        entropy = -(p * p.log()).nansum(-1)
        assert float((read.entropy.double() - entropy).abs().max()) <= 1e-4
        torch.testing.assert_close(read.top_ids.long(), p.topk(5).indices)


def test_a_head_with_layers_of_its_own_is_refused():
    subject = model()
    head = subject.lm_head
    subject.lm_head.register_forward_hook(lambda module, args, output: output + args[0].sum())
    assert head is subject.get_output_embeddings()
    subject.model.norm.register_forward_hook(lambda module, args, output: output * 2)
    subject.register_forward_hook(
        lambda module, args, output: setattr(output, "logits", output.logits.sin())
    )
    with pytest.raises(LensRefused, match="differ from the model"):
        find_lens(subject, torch.arange(8)[None])


def test_the_hooks_are_taken_away_again():
    subject = model()
    find_lens(subject, torch.arange(8)[None])
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in subject.modules())
