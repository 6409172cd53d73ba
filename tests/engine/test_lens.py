"""The lens is the model's own head: norm, unembedding, scale and softcap."""

import pytest
import torch

from attentropy.engine.lens import LensRefused, decoder_layers, find_lens, residuals
from tiny import model

KINDS = [
    ("llama", {}),
    ("llama", {"tie_word_embeddings": True}),
    ("gemma2", {"head_dim": 16, "query_pre_attn_scalar": 16}),
    ("cohere2", {"head_dim": 16, "logit_scale": 0.25}),
    ("granite", {"logits_scaling": 4.0}),
    ("gpt2", {"n_embd": 48, "n_layer": 3, "n_head": 4, "n_positions": 256}),
    ("gpt_neox", {}),
    ("phi", {}),
    ("bert", {"is_decoder": True}),  # its head has layers of its own
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


@pytest.mark.parametrize(("kind", "extra"), KINDS)
def test_the_last_layers_lens_is_the_models_own_distribution(kind, extra):
    made = model(kind, **extra)
    ids = torch.arange(3, 20)[None]
    kept = []
    with torch.no_grad(), residuals(decoder_layers(made), kept):
        logits = made(ids, use_cache=False).logits[0]
    read = find_lens(made, ids[:, :8]).read(kept[-1][0], top_k=5)
    p = logits.double().softmax(-1)
    entropy = -(p * p.log()).nansum(-1)
    assert float((read.entropy.double() - entropy).abs().max()) <= 1e-4
    wanted = p.topk(5)
    torch.testing.assert_close(read.top_logprobs.double(), wanted.values.log(), atol=1e-4, rtol=0)
    assert (p.gather(-1, read.top_ids.long()).log() - wanted.values.log()).abs().max() <= 1e-4


def test_every_layer_reads_as_a_plain_softmax_over_normed_residuals(embedded):
    ids = torch.arange(10, 40)[None]
    kept = []
    made = embedded.model
    with torch.no_grad(), residuals(decoder_layers(made), kept):
        hidden = made(ids, output_hidden_states=True, use_cache=False).hidden_states
    lens = find_lens(made, ids[:, :8])
    for residual, states in zip(kept[:-1], hidden[1:-1], strict=True):
        with torch.no_grad():
            p = made.lm_head(made.model.norm(states))[0].double().softmax(-1)
        read = lens.read(residual[0], top_k=5)
        entropy = -(p * p.log()).nansum(-1)
        assert float((read.entropy.double() - entropy).abs().max()) <= 1e-4
        torch.testing.assert_close(read.top_ids.long(), p.topk(5).indices)


def test_a_head_with_layers_of_its_own_is_refused():
    made = model()
    head = made.lm_head
    made.lm_head.register_forward_hook(lambda module, args, output: output + args[0].sum())
    assert head is made.get_output_embeddings()
    made.model.norm.register_forward_hook(lambda module, args, output: output * 2)
    made.register_forward_hook(
        lambda module, args, output: setattr(output, "logits", output.logits.sin())
    )
    with pytest.raises(LensRefused, match="differs"):
        find_lens(made, torch.arange(8)[None])


def test_the_hooks_are_taken_away_again():
    made = model()
    find_lens(made, torch.arange(8)[None])
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in made.modules())
