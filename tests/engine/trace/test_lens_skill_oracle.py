"""The skill of the embedded model's lens against its own hidden states, read in float64."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from attentropy import extract
from attentropy.engine.demo import path


@pytest.fixture(scope="module")
def trace():
    """Return the embedded model's trace of its default prompt."""
    return extract()


def eager_log_probabilities(token_ids):
    """Return ln P [layer, position, token] in float64: P_layer, and P_final as the last one.

    transformers' last hidden state has been through the final norm; that of the other layers is
    read with norm and head here.
    """
    model = AutoModelForCausalLM.from_pretrained(path(), dtype=torch.float64)
    model.set_attn_implementation("eager")
    ids = torch.tensor(np.asarray(token_ids))[None]
    with torch.no_grad():
        run = model(ids, output_hidden_states=True)
        norm = copy.deepcopy(model.model.norm)
        logits = [model.lm_head(norm(state[0])) for state in run.hidden_states[1:-1]]
        return torch.stack([*logits, run.logits[0]]).log_softmax(-1).numpy()


def test_skill_and_agreement_are_those_of_the_models_hidden_states(trace):
    log_p = eager_log_probabilities(trace["token_ids"])
    final = log_p[-1]
    prompt = np.arange(1, trace.prompt_tokens)  # position 0 has no say
    read = prompt[~np.isin(prompt, trace.dummy_positions())]
    p = np.exp(final[read])
    kl = (p * (final[read] - log_p[:, read])).sum(-1).sum(-1)
    room = (math.log(p.shape[-1]) + (p * final[read]).sum(-1)).sum()
    agreement = (log_p[:, read].argmax(-1) == final[read].argmax(-1)).mean(-1)
    lens = trace.lens_skill()
    assert lens is not None
    assert lens.positions == read.size == 11
    assert lens.is_few
    np.testing.assert_allclose(lens.skill, 1 - kl / room, atol=1e-4)
    np.testing.assert_allclose(lens.agreement, agreement, atol=1e-12)
    assert lens.skill[-1] == pytest.approx(1, abs=1e-6)


def test_uniform_output_of_a_layer_has_skill_zero_by_the_definition(trace):
    """KL(P‖uniform) = ln V − H(P): what the skill divides by."""
    final = eager_log_probabilities(trace["token_ids"])[-1]
    p = np.exp(final)
    to_uniform = (p * (final + math.log(p.shape[-1]))).sum(-1)
    np.testing.assert_allclose(to_uniform, math.log(p.shape[-1]) + (p * final).sum(-1), atol=1e-9)


@pytest.mark.parametrize("options", [{"lens_layers": "0:6"}, {"lens": ["attention"]}])
def test_no_skill_without_the_last_layer_or_the_residual_stream(options):
    trace = extract(**options)
    assert trace.lens_skill(trace.site) is None
