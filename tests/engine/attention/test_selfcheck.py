"""A model is checked before its first recording; one that would give wrong values is refused."""

import pytest
import torch
import transformers
from torch import nn

from attentropy.engine.attention import hook as attention_hook
from attentropy.engine.attention.selfcheck import (
    check_model,
    check_same_outputs,
    why_padding_is_refused,
)
from attentropy.engine.coverage.classes import find_class
from attentropy.engine.coverage.tiny import tiny_model
from attentropy.engine.errors import AttentropyError, NoAttention
from attentropy.engine.model.layers import layer_of
from attentropy.engine.record.record import record
from tiny import config, model


def _record(subject, ids, **extra):
    with torch.no_grad(), record(subject, stats=("entropy",)) as recorder:
        subject(ids, use_cache=False, **extra)
    return recorder


def _ids(length=12):
    return torch.arange(20, 20 + length)[None]


@pytest.mark.parametrize("kind", ["bloom", "codegen", "xglm", "mamba"])
def test_record_itself_refuses_what_the_interface_does_not_reach(kind):
    sizes = {"n_layer": 2, "n_head": 4, "rotary_dim": 4} if kind in ("bloom", "codegen") else {}
    subject = model(kind, **sizes)
    if subject._supports_attention_backend:
        pytest.skip(f"transformers {transformers.__version__} reaches {kind} by the interface")
    with pytest.raises(AttentropyError) as caught:
        _record(subject, _ids())
    assert "\n" not in str(caught.value)


def test_a_model_is_checked_once_and_then_known():
    subject = model()
    passes = []
    subject.register_forward_hook(lambda *_: passes.append(1))
    _record(subject, _ids())
    first = len(passes)
    _record(subject, _ids())
    assert len(passes) == first + 1
    assert check_model(subject).calls == {(0, 0), (1, 0), (2, 0)}


def test_one_token_is_enough_for_the_check():
    subject = model()
    check_same_outputs(subject, _ids(1))
    assert why_padding_is_refused(subject) is None


def test_a_model_in_training_mode_is_refused():
    with pytest.raises(AttentropyError, match="eval"):
        _record(model().train(), _ids())


def test_outputs_that_differ_are_refused(monkeypatch):
    right = attention_hook.attention

    def wrong(*tensors, scale, **rest):
        return right(*tensors, scale=scale * 1.1, **rest)

    monkeypatch.setattr(attention_hook, "attention", wrong)
    with pytest.raises(AttentropyError, match="different outputs"):
        check_same_outputs(model())


def test_a_layer_said_to_attend_that_makes_no_call_is_refused():
    subject = model("qwen3", head_dim=16)

    class Bypass(nn.Module):
        def forward(self, hidden_states, **_):
            return hidden_states, None

    subject.model.layers[1].self_attn = Bypass()
    with pytest.raises(AttentropyError, match=r"layer 1 of Qwen3ForCausalLM \(full"):
        check_same_outputs(subject)


def test_a_layer_that_stops_calling_is_noticed():
    subject = model()
    _record(subject, _ids())
    own = subject.model.layers[1].self_attn.forward

    def long_ones_bypass(hidden_states, **kwargs):
        if hidden_states.shape[1] > 20:
            return hidden_states, None
        return own(hidden_states, **kwargs)

    subject.model.layers[1].self_attn.forward = long_ones_bypass
    with pytest.raises(AttentropyError, match="layer 1 of LlamaForCausalLM made no attention call"):
        _record(subject, _ids(30))


def test_padding_that_reaches_the_text_is_refused_where_it_is_met():
    subject = tiny_model(find_class("RecurrentGemmaForCausalLM"))
    subject.set_attn_implementation("eager")  # its padded rows average over all keys, ours do not
    assert len(_record(subject, _ids()).calls) == 1
    mask = torch.ones(1, 12, dtype=torch.int64)
    mask[:, :4] = 0
    with pytest.raises(AttentropyError, match="different outputs with padding"):
        _record(subject, _ids(), attention_mask=mask)


def test_an_unknown_number_or_another_window_than_the_masks_is_refused():
    subject = model()
    with pytest.raises(AttentropyError, match="'alpha'"):
        _record(subject, _ids(), alpha=2.0)
    with pytest.raises(AttentropyError, match="has a sliding window of 5"):
        _record(subject, _ids(), sliding_window=5)


def test_layers_that_differ_in_size_do_not_stop_the_description():
    from attentropy.engine.coverage.classes import class_names
    from attentropy.engine.model.config import config_facts

    if "Dots3NoteForCausalLM" not in class_names():
        pytest.skip("this transformers has no model whose layers differ in their heads")
    facts = config_facts(find_class("Dots3NoteForCausalLM").config_class())
    assert facts["heads"] is None
    assert facts["layers"] == 46


def test_a_module_without_layer_idx_is_placed_by_the_layer_that_holds_it():
    subject = model()
    attention = subject.model.layers[2].self_attn
    attention.layer_idx = None
    assert layer_of(subject, attention) == 2
    with pytest.raises(AttentropyError, match="which layer"):
        layer_of(subject, nn.Linear(2, 2))


def test_an_encoder_is_recorded_with_its_symmetric_attention():
    from transformers import AutoModel

    torch.manual_seed(0)
    subject = AutoModel.from_config(config("bert")).eval()
    subject.set_attn_implementation("eager")
    with torch.no_grad():
        own = subject(_ids(), output_attentions=True).attentions
    trace = _record(subject, _ids()).trace
    assert (trace["visible"] == 12).all()
    for layer, weights in enumerate(own):
        p = weights[0].double()
        wanted = -(p * p.log()).sum(-1)
        assert float((torch.tensor(trace["entropy"][layer]) - wanted).abs().max()) <= 1e-5


def test_a_model_without_any_attention_says_so():
    subject = model("mamba", state_size=4, num_hidden_layers=2, expand=2)
    with pytest.raises(NoAttention, match="no attention"):
        check_same_outputs(subject)
