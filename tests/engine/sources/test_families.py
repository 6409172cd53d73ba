"""Hidden keys are hidden exactly, whatever the architecture: against float64 with a dense mask."""

import numpy as np
import pytest
import torch

import dense_hiding as dense
from attentropy.engine.sources.hiding import Interval
from attentropy.engine.sources.reader import HiddenReader
from attentropy.engine.sources.ways import OwnAttention, SharedKeys, check_hiding

# Classes, what they stand for, and configurations that this needs.
FAMILIES = {
    "LlamaForCausalLM": {},  # grouped queries
    "Gemma2ForCausalLM": {},  # windows, softcap
    "Gemma3ForCausalLM": {},  # windows, norms of queries and keys
    "Gemma3nForCausalLM": {},  # layers that read another layer's keys
    "GptOssForCausalLM": {},  # learned sinks, windows, experts
    "Llama4ForCausalLM": {},  # chunks, layers without positions
    "DeepseekV3ForCausalLM": {},  # latents in the cache, values of another width
    "DeepseekV2ForCausalLM": {},
    "MixtralForCausalLM": {},  # experts, windows
    "Qwen3MoeForCausalLM": {},
    "Cohere2ForCausalLM": {},
    "Qwen3ForCausalLM": {},
    "GPT2LMHeadModel": {},  # learned positions
    "GPTNeoXForCausalLM": {},
    "Phi3ForCausalLM": {},
    "Olmo2ForCausalLM": {},
    "BloomForCausalLM": {},  # ALiBi
    "FalconForCausalLM": {"alibi": True},
    "MptForCausalLM": {},
    "GPTJForCausalLM": {},  # attention of its own
}
OWN = {"BloomForCausalLM", "FalconForCausalLM", "MptForCausalLM", "GPTJForCausalLM"}
SPANS = 10  # of each family, 200 together


def close(ours: np.ndarray, expected: np.ndarray) -> None:
    """Fail where values are further from the expected ln p than 1e-5 · (1 + |ln p|)."""
    assert ours.shape == expected.shape
    assert (np.abs(ours - expected) <= 1e-5 * (1 + np.abs(expected))).all()


@pytest.fixture(params=FAMILIES)
def case(request):
    """Return a tiny model with its ids, the same in float64, a reader, and the generator."""
    loaded = dense.tiny(request.param, **FAMILIES[request.param])
    seed = sorted(FAMILIES).index(request.param)
    ids = dense.random_ids(seed)
    reader = HiddenReader(loaded, ids, dense.PROMPT, chunk=13)
    return loaded.model, ids, dense.exact(loaded.model), reader, np.random.default_rng(seed)


def test_direct_with_copies_and_total_equal_float64_with_a_dense_mask(case, monkeypatch):
    _, ids, exact, reader, rng = case
    last = dense.PROMPT - 1
    spans = [dense.random_span(rng, 20, dense.PROMPT) for _ in range(SPANS - 2)]
    spans += [(last, dense.PROMPT), (0, 1)]
    direct = [(Interval(*span, last),) for span in spans]
    copies = [dense.random_span(rng, 5, dense.TOKENS - dense.PROMPT) for _ in spans]
    copies = [(start + dense.PROMPT, stop + dense.PROMPT) for start, stop in copies]
    both = [(*d, Interval(*c, c[1])) for d, c in zip(direct, copies, strict=True)]
    variants = [(), *direct, *both]
    expected = [dense.dense_logprobs(exact, ids, dense.PROMPT, v, monkeypatch) for v in variants]
    close(reader.direct(variants), np.array(expected))
    total = [(Interval(*span, min(span[1], last)),) for span in spans]
    expected = [dense.dense_logprobs(exact, ids, dense.PROMPT, v, monkeypatch) for v in total]
    close(reader.total(spans), np.array(expected))
    # Rows of more variants than one pass takes, and a variant of all rows.
    anew = reader.logprobs([(), *total], 0)
    close(anew[1:], np.array(expected))


def test_hiding_nothing_equals_transformers_own(case):
    model, ids, _, reader, _ = case
    own = dense.logprobs(model, ids, dense.PROMPT)
    both = reader.direct([(), (Interval(3, 9, dense.PROMPT - 1),), ()])
    close(both[[0, 2]], np.array([own, own]))
    close(reader.logprobs([()], 5), own[None])


def test_total_equals_transformers_own_forward_with_the_span_masked(case):
    model, ids, _, reader, rng = case
    if type(model).__name__ in OWN - {"GPTJForCausalLM"}:
        pytest.skip("its positions follow from the 2-D mask: the dense mask is the reference")
    spans = [dense.random_span(rng, 15, dense.PROMPT - 1) for _ in range(SPANS)]
    expected = []
    for start, stop in spans:
        mask = torch.ones(1, len(ids), dtype=torch.long)
        mask[:, start:stop] = 0
        positions = torch.arange(len(ids))[None]
        model.set_attn_implementation("eager")
        extra = {"attention_mask": mask, "position_ids": positions}
        expected.append(dense.logprobs(model, ids, dense.PROMPT, **extra))
    close(reader.total(spans), np.array(expected))


def test_each_family_is_read_in_the_expected_way(case):
    model = case[0]
    expected = OwnAttention if type(model).__name__ in OWN else SharedKeys
    assert isinstance(check_hiding(model), expected)
