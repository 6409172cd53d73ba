"""The reader reads the prompt once, many variants in a pass, and copies nothing that it shares."""

import numpy as np
import pytest
import torch
from transformers import DynamicCache
from transformers.cache_utils import QuantizedLayer

import dense_hiding as dense
from attentropy.engine.errors import AttentropyError
from attentropy.engine.sources import cost, prompt_cache
from attentropy.engine.sources.hiding import Interval
from attentropy.engine.sources.reader import HiddenReader

LAST = dense.PROMPT - 1


@pytest.fixture(scope="module")
def llama():
    """Return a tiny Llama as a reader takes it."""
    return dense.tiny("LlamaForCausalLM")


@pytest.fixture
def ids():
    """Return the ids of a prompt and an answer."""
    return dense.random_ids(5)


class Rounded(QuantizedLayer):
    """A layer that keeps keys in fewer bits."""

    def _quantize(self, tensor, axis):
        return tensor

    def _dequantize(self, q_tensor):
        return q_tensor


def variants_of(rng, count):
    """Return variants of one or two random intervals, and one that hides nothing."""
    spans = [[dense.random_span(rng, 20, dense.PROMPT) for _ in range(2)] for _ in range(count)]
    return [
        (),
        *(tuple(Interval(*s, LAST) for s in two[: 1 + i % 2]) for i, two in enumerate(spans)),
    ]


@pytest.mark.costly
@pytest.mark.parametrize("name", ["LlamaForCausalLM", "Gemma3ForCausalLM", "BloomForCausalLM"])
def test_small_passes_give_what_one_pass_gives(name, ids, monkeypatch):
    loaded = dense.tiny(name)
    variants = variants_of(np.random.default_rng(0), 9)
    spans = [(3, 8), (4, 9), (20, 21), (0, 33)]
    whole = HiddenReader(loaded, ids, dense.PROMPT)
    expected = whole.direct(variants), whole.logprobs(variants, 4), whole.total(spans)
    for rows, size in ((1, 1), (5, 160 * 4 * 3), (50, 1 << 30)):
        monkeypatch.setattr(cost, "PASS_ROWS", rows)
        monkeypatch.setattr(cost, "LOGIT_BYTES", size)
        reader = HiddenReader(loaded, ids, dense.PROMPT, chunk=7)
        values = reader.direct(variants), reader.logprobs(variants, 4), reader.total(spans)
        for ours, theirs in zip(values, expected, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def test_all_variants_that_fit_share_a_pass_and_no_row_is_read_that_is_not_needed(llama, ids):
    reader = HiddenReader(llama, ids, dense.PROMPT, chunk=64)
    assert (reader.passes, reader.rows) == (1, LAST)
    reader.direct(variants_of(np.random.default_rng(0), 31))
    assert (reader.passes, reader.rows) == (2, LAST + 32 * reader.steps)
    before = reader.rows
    reader.total([(2, 30), (3, 31)])  # near ends share a pass
    assert (reader.passes, reader.rows - before) == (3, 2 * (dense.TOKENS - 1 - 30))
    reader.total([(0, 2), (20, 30)])  # distant ones do not
    assert reader.passes == 5


@pytest.mark.parametrize("name", ["LlamaForCausalLM", "Gemma2ForCausalLM", "DeepseekV3ForCausalLM"])
def test_keys_hidden_from_a_layer_on_are_visible_before_it(name, ids):
    loaded = dense.tiny(name)
    reader = HiddenReader(loaded, ids, dense.PROMPT)
    model = dense.exact(loaded.model)
    model.set_attn_implementation("eager")

    def hide(module_, args, kwargs):
        mask = kwargs["attention_mask"].clone()
        mask[..., LAST:, 28:31] = torch.finfo(mask.dtype).min
        return args, kwargs | {"attention_mask": mask}

    for layers, hidden in (((0, 1), [0]), ((1, None), [1]), ((0, None), [0, 1]), ((2, None), [])):
        handles = [
            model.model.layers[i].register_forward_pre_hook(hide, with_kwargs=True) for i in hidden
        ]
        expected = dense.logprobs(model, ids, dense.PROMPT)
        for handle in handles:
            handle.remove()
        ours = reader.direct([(Interval(28, 31, LAST, layers),)])[0]
        np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-5)


def test_a_model_in_half_precision_is_read_as_exactly_as_its_type_allows(ids):
    loaded = dense.tiny("LlamaForCausalLM")
    loaded.model.to(torch.bfloat16)
    reader = HiddenReader(loaded, ids, dense.PROMPT)
    own = dense.logprobs(loaded.model, ids, dense.PROMPT)
    both = reader.direct([(), (Interval(0, 30, LAST),)])
    np.testing.assert_allclose(both[0], own, atol=0.2)
    assert np.abs(both[1] - own).max() > 0.5


def test_removing_a_span_equals_a_prompt_without_it(llama, ids):
    reader = HiddenReader(llama, ids, dense.PROMPT)
    spans = [(0, 5), (3, 9), (28, dense.PROMPT), (LAST, dense.PROMPT), (7, 7), (1, dense.PROMPT)]
    removed = reader.remove(spans)
    for values, (start, stop) in zip(removed, spans, strict=True):
        rest = ids[:start] + ids[stop:]
        expected = dense.logprobs(llama.model, rest, dense.PROMPT - (stop - start))
        np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-5)
    nothing_left = reader.remove([(0, dense.PROMPT)])[0]
    assert np.isnan(nothing_left[0])
    expected = dense.logprobs(llama.model, ids[dense.PROMPT :], 1)
    np.testing.assert_allclose(nothing_left[1:], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["LlamaForCausalLM", "GptOssForCausalLM", "Gemma2ForCausalLM"])
def test_attention_equals_the_models_own_weights(name, ids, monkeypatch):
    loaded = dense.tiny(name)
    ours = HiddenReader(loaded, ids, dense.PROMPT).unhidden[1]
    loaded.model.set_attn_implementation("eager")
    with torch.no_grad():
        weights = loaded.model(torch.tensor([ids]), output_attentions=True).attentions
    expected = [w[0, :, LAST:-1, : dense.PROMPT].double().mean((0, 1)).numpy() for w in weights]
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-6)
    monkeypatch.setattr(cost, "PASS_ROWS", 3)
    in_parts = HiddenReader(loaded, ids, dense.PROMPT).unhidden[1]
    np.testing.assert_allclose(in_parts, ours, rtol=1e-4, atol=1e-6)


def test_a_model_with_attention_of_its_own_says_nothing_of_its_weights(ids):
    assert HiddenReader(dense.tiny("BloomForCausalLM"), ids, dense.PROMPT).unhidden[1] is None


@pytest.mark.parametrize("name", ["LlamaForCausalLM", "BloomForCausalLM"])
def test_a_reader_that_is_open_reads_the_same_and_leaves_the_model_as_it_was(name, ids):
    loaded = dense.tiny(name)
    before = loaded.model.config._attn_implementation
    reader = HiddenReader(loaded, ids, dense.PROMPT)
    variants = variants_of(np.random.default_rng(0), 5)
    closed = reader.direct(variants), reader.total([(2, 9)]), reader.remove([(2, 9)])
    with reader.open():
        opened = reader.direct(variants), reader.total([(2, 9)]), reader.remove([(2, 9)])
        other = HiddenReader(loaded, ids[:-1], dense.PROMPT).direct(variants)
    for a, b in zip(closed, opened, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_allclose(other, closed[0][:, :-1], atol=1e-5)
    assert loaded.model.config._attn_implementation == before


def test_a_runs_cache_is_used_in_place_where_it_has_every_key(llama, ids):
    cache = DynamicCache()
    with torch.no_grad():
        llama.model(torch.tensor([ids]), past_key_values=cache)
    reader = HiddenReader(llama, ids, dense.PROMPT, cache=cache)
    assert reader.passes == 0
    fresh = HiddenReader(llama, ids, dense.PROMPT)
    variants = variants_of(np.random.default_rng(0), 5)
    before = [layer.keys.clone() for layer in cache.layers]
    np.testing.assert_allclose(reader.direct(variants), fresh.direct(variants), atol=1e-5)
    np.testing.assert_allclose(reader.total([(2, 9)]), fresh.total([(2, 9)]), atol=1e-5)
    assert all(torch.equal(a, b.keys) for a, b in zip(before, cache.layers, strict=True))
    past = prompt_cache.past_in(cache, LAST)
    assert past[0][0].data_ptr() == cache.layers[0].keys.data_ptr()


def test_a_cache_that_dropped_or_rounded_keys_is_not_used(ids):
    loaded = dense.tiny("Gemma3ForCausalLM")
    short = DynamicCache()
    sliding = DynamicCache(config=loaded.model.config)
    with torch.no_grad():
        loaded.model(torch.tensor([ids[:10]]), past_key_values=short)
        loaded.model(torch.tensor([ids]), past_key_values=sliding)
    for cache in (None, short, sliding, DynamicCache(), object()):
        assert prompt_cache.past_in(cache, LAST) is None
    assert prompt_cache.past_in(short, 10) is not None
    quantized = DynamicCache()
    layer = Rounded()
    layer.lazy_initialization(torch.zeros(1, 2, 64, 16), torch.zeros(1, 2, 64, 16))
    layer.keys = layer.values = torch.zeros(1, 2, 64, 16)
    quantized.layers = [layer]
    assert prompt_cache.past_in(quantized, LAST) is None


def test_prompts_and_answers_of_one_token(llama):
    ids = dense.random_ids(1, 4)
    for prompt in (1, 2, 3):
        reader = HiddenReader(llama, ids, prompt)
        expected = dense.logprobs(llama.model, ids, prompt)
        np.testing.assert_allclose(reader.direct([()])[0], expected, rtol=1e-5, atol=1e-5)
        assert reader.total([(0, 1)]).shape == (1, 4 - prompt)
        assert reader.direct([]).shape == (0, 4 - prompt)


@pytest.mark.parametrize(("tokens", "prompt"), [(4, 4), (4, 0), (4, 5)])
def test_a_prompt_or_an_answer_of_no_tokens_is_refused(llama, tokens, prompt):
    with pytest.raises(ValueError, match="tokens of a prompt"):
        HiddenReader(llama, dense.random_ids(0, tokens), prompt)


def test_rows_of_the_answer_alone_are_refused(llama, ids):
    reader = HiddenReader(llama, ids, dense.PROMPT)
    with pytest.raises(ValueError, match="row 33 of a prompt"):
        reader.logprobs([()], dense.PROMPT)


@pytest.mark.parametrize("name", ["LlamaForCausalLM", "BloomForCausalLM"])
def test_the_model_is_left_as_it_was_also_after_an_error(name, ids, monkeypatch):
    loaded = dense.tiny(name)
    before = loaded.model.config._attn_implementation
    own = dense.logprobs(loaded.model, ids, dense.PROMPT)
    reader = HiddenReader(loaded, ids, dense.PROMPT)
    reader.direct([(Interval(0, 9, LAST),)])
    boom = RuntimeError("boom")

    def fail(*args):
        raise boom

    handle = loaded.model.lm_head.register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="boom"):
        reader.direct([()])
    handle.remove()
    assert loaded.model.config._attn_implementation == before
    np.testing.assert_array_equal(dense.logprobs(loaded.model, ids, dense.PROMPT), own)


BESIDE = {
    "MambaForCausalLM": {},
    "JambaForCausalLM": {},
    "RecurrentGemmaForCausalLM": {},
    "Lfm2ForCausalLM": {"layer_types": ["conv", "full_attention"]},
    "Qwen3NextForCausalLM": {},
    "FalconH1ForCausalLM": {},
    "RwkvForCausalLM": {},
}


@pytest.mark.parametrize("name", BESIDE)
def test_models_in_which_information_passes_beside_the_mask_are_refused_in_one_line(name, ids):
    loaded = dense.tiny(name, **BESIDE[name])
    for _ in range(2):  # the second time without a check
        with pytest.raises(AttentropyError, match=name) as error:
            HiddenReader(loaded, ids, dense.PROMPT)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["LlamaForCausalLM", "BloomForCausalLM"])
def test_a_model_that_mixes_neighbours_beside_its_attention_is_refused(name, ids):
    loaded = dense.tiny(name)

    def mix(module, args, states):
        return states + states.roll(1, 1) * (torch.arange(states.shape[1]) > 0)[:, None]

    loaded.model.get_input_embeddings().register_forward_hook(mix)
    with pytest.raises(AttentropyError, match="cannot be hidden"):
        HiddenReader(loaded, ids, dense.PROMPT)


def test_a_model_whose_own_attention_sees_later_tokens_is_refused(ids, monkeypatch):
    loaded = dense.tiny("BloomForCausalLM")
    own = type(loaded.model.transformer).forward

    def forward(self, *args, **kwargs):
        output = own(self, *args, **kwargs)
        states = output.last_hidden_state
        output.last_hidden_state = states + states.mean(1, keepdim=True)
        return output

    monkeypatch.setattr(type(loaded.model.transformer), "forward", forward)
    with pytest.raises(AttentropyError, match="cannot be hidden"):
        HiddenReader(loaded, ids, dense.PROMPT)
