"""Compiled models and models with adapters are recorded through the model inside."""

import sys
import types

import numpy as np
import pytest
import torch
from torch import nn

from attentropy.engine.errors import UsageError
from attentropy.engine.record.record import record
from attentropy.engine.run.extract import extract
from eager import assert_eager
from tiny import model, tokenizer

IDS = torch.randint(3, 250, (1, 20), generator=torch.Generator().manual_seed(0))


class TestCompiled:
    @pytest.mark.parametrize("in_place", [False, True])
    def test_it_is_recorded_as_it_was_written_and_compiled_afterwards(self, in_place):
        compiled_calls = []

        def backend(graph, inputs):
            compiled_calls.append(1)
            return graph.forward

        plain, subject = model(), model()
        compiled = subject
        if in_place:
            subject.compile(backend=backend)
        else:
            compiled = torch.compile(subject, backend=backend)
        with record(compiled) as recorder:
            compiled(IDS)
        assert not compiled_calls
        assert_eager(recorder.trace, plain, input_ids=IDS)
        assert recorder.trace["token_ids"].tolist() == IDS[0].tolist()
        with torch.no_grad():
            compiled(IDS)
        assert compiled_calls

    def test_generation_and_extract_take_it_too(self):
        compiled = torch.compile(model(), backend="eager")
        with record(compiled, tokenizer=tokenizer()) as recorder:
            compiled.generate(IDS, max_new_tokens=4, min_new_tokens=4)
        assert recorder.trace.roles[-3:] == ["generated"] * 3
        options = {"tokenizer": tokenizer(), "scores": False, "max_new_tokens": 1}
        trace = extract(compiled, IDS, **options)
        np.testing.assert_array_equal(trace["entropy"], extract(model(), IDS, **options)["entropy"])


class Tuner(nn.Module):
    """What peft puts around a model: it runs the model's forward, not the model."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, *args, **kwargs):
        return self.model.forward(*args, **kwargs)

    def __getattr__(self, name):
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self.model, name)


class Adapted(nn.Module):
    """A stand-in for a PeftModel."""

    def __init__(self, model, **facts):
        super().__init__()
        self.base_model = Tuner(model)
        self.peft_config = {"default": types.SimpleNamespace(**facts)}
        self.active_adapters = ["default"]

    def get_base_model(self):
        return self.base_model.model

    def forward(self, *args, **kwargs):
        return self.base_model(*args, **kwargs)

    def generate(self, *args, **kwargs):
        return self.base_model.generate(*args, **kwargs)


Adapted.__module__ = "peft.peft_model"


class LowRank(nn.Module):
    """A linear layer with an adapter added to it."""

    def __init__(self, base, rank=4):
        super().__init__()
        self.base, self.down = base, nn.Linear(base.in_features, rank, bias=False)
        self.up = nn.Linear(rank, base.out_features, bias=False)

    def forward(self, x):
        return self.base(x) + 5 * self.up(self.down(x))


def adapted(of=lambda subject: subject, **facts):
    subject = model()
    for layer in subject.model.layers:
        layer.self_attn.q_proj = LowRank(layer.self_attn.q_proj)
    return Adapted(of(subject), **facts).eval()


class TestAdapters:
    @pytest.mark.parametrize("of", [lambda s: s, lambda s: s.model], ids=["head", "base"])
    def test_its_attention_is_that_with_the_adapters(self, of):
        subject = adapted(of)
        with record(subject) as recorder:
            subject(input_ids=IDS)
        trace = recorder.trace
        assert_eager(trace, subject.get_base_model(), input_ids=IDS)
        with pytest.raises(AssertionError):
            assert_eager(trace, of(model()), input_ids=IDS)
        assert trace["token_ids"].tolist() == IDS[0].tolist()
        assert trace.attrs["notes"] == ["the model has adapters of peft: default"]

    def test_generation_and_extract_take_it_too(self):
        subject = adapted()
        with record(subject, tokenizer=tokenizer(), lens="residual") as recorder:
            out = subject.generate(input_ids=IDS, max_new_tokens=4, min_new_tokens=4)
        assert recorder.trace.roles[-3:] == ["generated"] * 3
        assert recorder.trace["token_ids"].tolist() == out[0, :-1].tolist()
        trace = extract(subject, IDS, tokenizer=tokenizer(), scores=False, max_new_tokens=0)
        assert_eager(trace, subject.get_base_model(), input_ids=IDS)
        assert "the model has adapters of peft: default" in trace.attrs["notes"]

    def test_virtual_tokens_are_refused(self):
        subject = adapted(is_prompt_learning=True)
        for refused in (lambda: record(subject).__enter__(), lambda: extract(subject, "a")):
            with pytest.raises(UsageError, match=r"virtual tokens.*get_base_model\(\)"):
                refused()

    def test_peft_itself(self):
        if "peft" not in sys.modules:
            pytest.importorskip("peft", reason="peft is not installed: a stand-in was tested")
        import peft

        adapters = peft.LoraConfig(r=4, target_modules=["q_proj"], init_lora_weights=False)
        subject = peft.get_peft_model(model(), adapters).eval()
        with record(subject) as recorder:
            subject(input_ids=IDS)
        assert_eager(recorder.trace, subject.get_base_model(), input_ids=IDS)


@pytest.mark.parametrize("value", [3, nn.Linear(2, 2), nn.DataParallel(nn.Linear(2, 2))])
def test_what_is_no_model_is_refused_in_one_line(value):
    for refused in (lambda: record(value).__enter__(), lambda: extract(value, "a")):
        with pytest.raises(UsageError, match="`model` must be a transformers model") as caught:
            refused()
        assert "\n" not in str(caught.value)
