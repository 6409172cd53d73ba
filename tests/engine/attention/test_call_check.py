"""A model that rounds activations is recorded where each attention call agrees with its own."""

import numpy as np
import pytest
import torch
from torch import nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from attentropy.engine.attention.call_check import calls_agree
from attentropy.engine.attention.probe import difference, outputs
from attentropy.engine.attention.selfcheck import (
    check_model,
    check_same_outputs,
    probe_ids,
    why_padding_is_refused,
)
from attentropy.engine.errors import AttentropyError
from attentropy.engine.record.record import record
from tiny import model

KINDS = {
    "llama": {},
    "gpt2": {},
    "gemma2": {"sliding_window": 5, "head_dim": 12},  # its own attention is eager alone
    "bert": {},
}


class Flipping(nn.Module):
    """A matrix product that rounds its input to two levels by its last bits, as int8 flips."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner
        self.weight = getattr(inner, "weight", None)

    def forward(self, values):
        return self.inner(values + 0.3 * torch.sign(torch.sin(values * 1e8)))


def _flipping(kind="llama", implementation="sdpa", **extra):
    """Return a model whose layers round: any other order of the same sums changes its outputs."""
    subject = model(kind, **(KINDS[kind] | extra))
    for name, module in list(subject.named_modules()):
        if name.rpartition(".")[2] in ("o_proj", "down_proj", "c_proj", "dense"):
            parent, _, last = name.rpartition(".")
            setattr(subject.get_submodule(parent), last, Flipping(module))
    subject.set_attn_implementation(implementation)
    return subject


def _outputs(subject, implementation, ids):
    subject.set_attn_implementation(implementation)
    with torch.no_grad():
        return outputs(subject(ids, use_cache=False))


@pytest.mark.parametrize(
    ("kind", "implementation"),
    [
        (kind, name)
        for kind in KINDS
        for name in ("sdpa", "eager")
        if (kind, name) != ("gemma2", "sdpa")
    ],
)
def test_a_model_that_rounds_is_recorded(kind, implementation):
    subject = _flipping(kind, implementation)
    ids = probe_ids(subject)
    # transformers' own two implementations differ: the outputs say nothing of the attention.
    if kind != "gemma2":
        eager, sdpa = (_outputs(subject, name, ids) for name in ("eager", "sdpa"))
        assert difference(eager, sdpa, torch.float32) is not None
    subject.set_attn_implementation(implementation)
    check_same_outputs(subject)
    assert len(check_model(subject).calls) == 3
    assert why_padding_is_refused(subject) is None
    with torch.no_grad(), record(subject, stats=("entropy",)) as recorder:
        subject(ids, use_cache=False)
    assert np.isfinite(recorder.trace["entropy"]).all()
    assert subject.config._attn_implementation == implementation


def _changed(**changes):
    """Return an attention whose scores are not those of its arguments."""

    def attention(module, query, key, value, mask, scaling=None, **arguments):
        scaling = (scaling or query.shape[-1] ** -0.5) * changes.get("scale", 1.0)
        mask = None if changes.get("no_mask") else mask
        return sdpa_attention_forward(
            module, query, key, value, mask, scaling=scaling,
            is_causal=False if changes.get("no_mask") else None, **arguments,
        )  # fmt: skip

    return attention


@pytest.mark.parametrize("changes", [{"scale": 1.05}, {"no_mask": True}], ids=str)
def test_a_model_whose_attention_differs_is_refused(changes):
    name = f"changed_{next(iter(changes))}"
    AttentionInterface.register(name, _changed(**changes))
    AttentionMaskInterface.register(name, AttentionMaskInterface()["sdpa"])
    for subject in (_flipping("llama", name), model("llama")):
        subject.set_attn_implementation(name)
        with pytest.raises(AttentropyError, match="different outputs"):
            check_same_outputs(subject)


def test_a_model_that_does_more_than_its_attention_call_is_refused():
    """The rest of the model depends on the implementation: no call differs, the outputs do."""
    subject = model("llama")
    layer = subject.model.layers[1].self_attn.o_proj

    class OwnWay(nn.Module):
        def forward(self, values):
            is_own = subject.config._attn_implementation == "sdpa"
            return layer(values) * (1.0 if is_own else 1.1)

    subject.model.layers[1].self_attn.o_proj = OwnWay()
    with pytest.raises(AttentropyError, match="different outputs"):
        check_same_outputs(subject)


def test_what_agrees_agrees():
    subject = model("llama")
    ids = probe_ids(subject)
    own = _outputs(subject, "sdpa", ids)
    assert calls_agree(subject, ids, own, masks_built=False)
    assert not calls_agree(subject, ids, own + 1.0, masks_built=False)
