"""A site's values are what the layer adds to its residual stream; other sites are refused."""

import pytest
import torch

from attentropy.engine.errors import LensRefused
from attentropy.engine.lens.blocks import find_blocks
from attentropy.engine.lens.points import Point, capture_states
from attentropy.engine.model.layers import decoder_layers
from tiny import model

IDS = torch.arange(3, 40)[None]
PLAIN = ("self_attn", "mlp")
NORMED = ("post_attention_layernorm", "post_feedforward_layernorm")
SMALL = {"head_dim": 16}
EXPERTS = {"num_local_experts": 4}

# Model type, its configuration, the modules whose outputs are added to the stream, and the factor.
KINDS = [
    ("llama", {}, PLAIN, 1.0),
    ("gemma2", SMALL, NORMED, 1.0),
    ("gemma3_text", SMALL, NORMED, 1.0),
    ("olmo2", {}, NORMED, 1.0),
    ("glm4", SMALL, ("post_self_attn_layernorm", "post_mlp_layernorm"), 1.0),
    ("cohere2", SMALL, PLAIN, 1.0),
    ("granite", {"residual_multiplier": 0.22}, PLAIN, 0.22),
    ("gpt2", {"n_embd": 48, "n_layer": 3, "n_head": 4}, ("attn", "mlp"), 1.0),
    ("gpt_neox", {}, ("attention", "mlp"), 1.0),
    ("phi", {}, PLAIN, 1.0),
    ("opt", {"ffn_dim": 64, "word_embed_proj_dim": 48}, ("self_attn", "fc2"), 1.0),
    ("mixtral", EXPERTS, PLAIN, 1.0),
    ("gpt_oss", EXPERTS | SMALL, PLAIN, 1.0),
]


def _watched(subject, points):
    """Return the values at the sites, the outputs of all modules, and the inputs of the layers."""
    outputs = {}
    layers = decoder_layers(subject)
    before = []
    hooks = [
        layer.register_forward_pre_hook(
            lambda m, args, kwargs: before.append((args or kwargs["hidden_states"])[0]),
            with_kwargs=True,
        )
        for layer in layers
    ]
    for number, layer in enumerate(layers):
        for name, module in layer.named_modules():
            hooks.append(
                module.register_forward_hook(
                    lambda m, args, out, key=(number, name): outputs.__setitem__(key, out)
                )
            )
    with torch.no_grad(), capture_states(points) as states:
        subject(IDS, use_cache=False)
    for hook in hooks:
        hook.remove()
    first = {key: out[0] if isinstance(out, tuple) else out for key, out in outputs.items()}
    return states, first, before


@pytest.mark.parametrize(("kind", "extra", "names", "factor"), KINDS)
def test_a_site_is_what_its_block_adds_to_the_residual_stream(kind, extra, names, factor):
    subject = model(kind, **extra)
    blocks = find_blocks(subject, IDS[:, :12])
    points = {site: blocks.points(site) for site in ("attention", "mlp")}
    points["residual"] = [Point(layer) for layer in decoder_layers(subject)]
    states, outputs, before = _watched(subject, points)
    for layer, stream in enumerate(before):
        for site, name in zip(("attention", "mlp"), names, strict=True):
            wanted = outputs[layer, name].reshape(-1, 48) * factor
            assert torch.equal(states[site][layer], wanted), (layer, site)
        total = stream.reshape(-1, 48) + states["attention"][layer] + states["mlp"][layer]
        torch.testing.assert_close(states["residual"][layer], total, rtol=1e-5, atol=1e-4)


def test_a_layer_without_attention_has_no_attention_site():
    subject = model(
        "jamba", num_hidden_layers=4, attn_layer_period=2, attn_layer_offset=1, num_experts=2,
        expert_layer_period=2, expert_layer_offset=0, mamba_d_state=4, use_mamba_kernels=False,
    )  # fmt: skip
    blocks = find_blocks(subject, IDS[:, :12])
    layers = decoder_layers(subject)
    attention = [point and point.module for point in blocks.points("attention")]
    assert attention == [None, layers[1].self_attn, None, layers[3].self_attn]
    mlp = [point and point.module for point in blocks.points("mlp")]
    assert mlp == [layer.feed_forward for layer in layers]


@pytest.mark.parametrize("site", ["attention", "mlp"])
def test_a_layer_that_scales_its_sum_is_refused(site):
    subject = model()
    decoder_layers(subject)[1].register_forward_hook(lambda m, args, out: out * 1.5)
    blocks = find_blocks(subject, IDS[:, :12])
    with pytest.raises(LensRefused, match="layer 1 does more than add"):
        blocks.points(site)


def test_a_block_too_small_to_show_beside_the_rounding_is_not_guessed():
    """In bfloat16, adding a block to a stream of 1e4 changes nothing: any module would fit."""
    subject = model().to(torch.bfloat16)
    decoder_layers(subject)[0].register_forward_pre_hook(
        lambda m, args: (args[0] * 0 + 1e4, *args[1:])
    )
    with pytest.raises(LensRefused, match="layer 0"):
        find_blocks(subject, IDS[:, :12]).points("attention")


def test_blocks_that_layers_share_are_refused():
    subject = model()
    layers = decoder_layers(subject)
    layers[2].mlp = layers[1].mlp
    blocks = find_blocks(subject, IDS[:, :12])
    with pytest.raises(LensRefused, match="several layers share one mlp block"):
        blocks.points("mlp")
    assert len(blocks.points("attention")) == 3


def test_only_the_rows_asked_for_are_kept_and_no_hook_stays():
    subject = model()
    points = {"residual": [Point(layer) for layer in decoder_layers(subject)]}
    with torch.no_grad(), capture_states(points) as whole:
        subject(IDS, use_cache=False)
    rows = torch.tensor([0, 5, 36])
    with torch.no_grad(), capture_states(points, rows) as some:
        subject(IDS, use_cache=False)
    for a, b in zip(whole["residual"], some["residual"], strict=True):
        assert torch.equal(a[rows], b)
        assert b.untyped_storage().nbytes() == b.nbytes
    find_blocks(subject, IDS[:, :12])
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in subject.modules())
