"""Every row of a long answer is that of eager attention over the whole sequence."""

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
    before = model.config._attn_implementation
    model.set_attn_implementation("eager")
    with torch.no_grad():
        ids = torch.tensor(trace["token_ids"][None].astype(np.int64))
        output = model(ids, output_attentions=True, use_cache=False)
    model.set_attn_implementation(before)
    for layer, weights in enumerate(output.attentions):
        for head, rows in enumerate(weights[0]):
            rows = rows.double()
            entropy = torch.special.entr(rows).sum(-1).numpy()
            np.testing.assert_allclose(trace["entropy"][layer, head], entropy, atol=1e-5)
            np.testing.assert_allclose(trace["max_prob"][layer, head], rows.amax(-1), atol=1e-5)
    logprobs = output.logits[0].double().log_softmax(-1)
    entropy = -(logprobs.exp() * logprobs).sum(-1)
    generated = logprobs[prompt - 1 : -1]
    np.testing.assert_allclose(trace["generated_entropy"], entropy[prompt - 1 : -1], atol=1e-4)
    logprob = generated.gather(-1, ids[0, prompt:, None])[:, 0]
    np.testing.assert_allclose(trace["generated_logprob"], logprob, atol=1e-4)
