"""Every row of a long answer is that of eager attention over the whole sequence."""

import copy

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from attentropy.engine import demo
from attentropy.engine.model.load import load
from attentropy.engine.run.extract import extract

pytestmark = pytest.mark.slow

TOKENS = 2000


@pytest.fixture(scope="module")
def endless():
    """Return the embedded model with room for a long answer and nothing that ends a turn."""
    model = AutoModelForCausalLM.from_pretrained(demo.path(), max_position_embeddings=4096).eval()
    model.config.eos_token_id = model.generation_config.eos_token_id = None
    tokenizer = load(device="cpu").tokenizer
    tokenizer.eos_token = None
    return model, tokenizer


def _eager(model, ids):
    """Return logits [N, V] of eager attention, and each row's entropy and largest weight."""
    before = model.config._attn_implementation
    model.set_attn_implementation("eager")
    with torch.no_grad():
        output = model(ids, output_attentions=True, use_cache=False)
    model.set_attn_implementation(before)
    weights = [layer[0].double() for layer in output.attentions]
    entropy = np.stack([torch.special.entr(rows).sum(-1).numpy() for rows in weights])
    return output.logits[0], entropy, np.stack([rows.amax(-1).numpy() for rows in weights])


@pytest.mark.parametrize(
    "way", [{}, {"temperature": 0.8, "top_p": 0.95, "seed": 1}], ids=["greedy", "sampled"]
)
def test_every_row_is_that_of_eager_attention(endless, tmp_path, way):
    model, tokenizer = endless
    trace = extract(
        model, demo.DEFAULT_PROMPT, tokenizer=tokenizer, max_new_tokens=TOKENS,
        output=tmp_path / "t.zarr", **way,
    )  # fmt: skip
    prompt = trace.prompt_tokens
    assert trace["entropy"].shape[-1] == prompt + TOKENS
    ids = torch.tensor(trace["token_ids"][None].astype(np.int64))
    logits, *rows = _eager(model, ids)
    _, *exact = _eager(copy.deepcopy(model).double(), ids)
    for name, wanted, exact_rows in zip(("entropy", "max_prob"), rows, exact, strict=True):
        # What eager attention itself is off in float32 depends on the processor: up to 3.7e-5.
        error, own = (np.abs(rows - exact_rows).max() for rows in (trace[name], wanted))
        assert error <= 1e-5 + own, name
        assert np.quantile(np.abs(trace[name] - wanted), 0.999) <= 1e-5, name
    logprobs = logits.double().log_softmax(-1)
    entropy = -(logprobs.exp() * logprobs).sum(-1)
    generated = logprobs[prompt - 1 : -1]
    np.testing.assert_allclose(trace["generated_entropy"], entropy[prompt - 1 : -1], atol=1e-4)
    wanted_logprobs = generated.gather(-1, ids[0, prompt:, None])[:, 0]
    np.testing.assert_allclose(trace["generated_logprob"], wanted_logprobs, atol=1e-4)
