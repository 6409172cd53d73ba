"""The recorder refuses rows that a reordered or cropped cache no longer matches."""

import pytest
import torch
from transformers import DynamicCache, StaticCache

from attentropy.engine.errors import AttentropyError
from attentropy.engine.model.cache import cache_of, continuing
from attentropy.engine.record.record import record
from tiny import model

PROMPT = torch.randint(3, 250, (1, 12), generator=torch.Generator().manual_seed(0))
BEAMS = {"num_beams": 3, "do_sample": False}


@pytest.mark.parametrize("tokens", [1, 8])
@pytest.mark.parametrize(
    ("kind", "extra"),
    [
        ("llama", {}),
        ("mistral", {"sliding_window": 7}),
        ("gpt2", {}),
        ("opt", {"ffn_dim": 64, "word_embed_proj_dim": 48}),
    ],
)
@pytest.mark.parametrize("implementation", [None, "static"], ids=["dynamic", "static"])
def test_beam_search_is_refused_in_one_line(tokens, kind, extra, implementation):
    subject = model(kind, **extra)
    with pytest.raises(AttentropyError, match="beam search") as caught, record(subject):
        subject.generate(
            PROMPT, max_new_tokens=tokens, min_new_tokens=tokens, pad_token_id=1,
            cache_implementation=implementation, **BEAMS,
        )  # fmt: skip
    assert "\n" not in str(caught.value)


def test_assisted_decoding_is_refused_in_one_line():
    subject = model()
    assistant = model(seed=1, num_hidden_layers=1)
    with pytest.raises(AttentropyError, match="assisted decoding") as caught, record(subject):
        subject.generate(
            PROMPT, assistant_model=assistant, max_new_tokens=8, do_sample=False, pad_token_id=1
        )
    assert "\n" not in str(caught.value)


def test_drafts_from_the_prompt_itself_are_refused_where_one_is_rejected():
    subject = model()
    repeated = PROMPT[:, :4].repeat(1, 5)
    with pytest.raises(AttentropyError, match="assisted decoding"), record(subject):
        subject.generate(
            repeated, prompt_lookup_num_tokens=4, max_new_tokens=12, do_sample=False, pad_token_id=1
        )


@torch.no_grad()
def test_a_pass_over_a_cut_cache_is_refused():
    subject = model()
    with record(subject) as recorder:
        cache = cache_of(subject(PROMPT, use_cache=True))
        cache.crop(-4)
        with pytest.raises(AttentropyError, match="reordered or cropped"):
            subject(PROMPT[:, :4], **continuing(cache))
    assert recorder.trace.dataset.sizes["query"] == PROMPT.shape[1]


@torch.no_grad()
def test_a_cut_after_the_last_pass_is_refused():
    subject = model()
    recording = record(subject)
    recording.__enter__()
    cache_of(subject(PROMPT, use_cache=True)).crop(-4)
    with pytest.raises(AttentropyError, match="reordered or cropped"):
        recording.__exit__(None, None, None)


@torch.no_grad()
def test_another_cache_is_refused():
    subject = model()
    other = cache_of(subject(PROMPT.flip(1), use_cache=True))
    with record(subject):
        subject(PROMPT, use_cache=True)
        with pytest.raises(AttentropyError, match="does not continue from the KV cache"):
            subject(PROMPT[:, :3], **continuing(other))


@torch.no_grad()
def test_static_keys_written_between_passes_are_refused():
    subject = model()
    cache = StaticCache(subject.config, 32)
    with record(subject):
        subject(PROMPT, **continuing(cache))
        cache.layers[0].keys.zero_()
        with pytest.raises(AttentropyError, match="reordered or cropped"):
            subject(PROMPT[:, :1], **continuing(cache))


def test_sampling_several_continuations_gives_a_trace_of_each():
    subject = model()
    torch.manual_seed(0)
    with record(subject) as recorder:
        out = subject.generate(
            PROMPT, num_return_sequences=3, do_sample=True, max_new_tokens=6, min_new_tokens=6,
            pad_token_id=1,
        )  # fmt: skip
    assert len(recorder.traces) == len(out) == 3
    assert len({tuple(row.tolist()) for row in out}) > 1
    for trace in recorder.traces:
        assert trace.dataset.sizes["query"] == PROMPT.shape[1] + 5


@torch.inference_mode()
def test_passes_in_inference_mode_are_recorded():
    subject = model()
    with record(subject) as recorder:
        cache = subject(PROMPT[:, :7], **continuing(DynamicCache(config=subject.config)))
        subject(PROMPT[:, 7:], **continuing(cache_of(cache)))
    assert recorder.trace.dataset.sizes["query"] == PROMPT.shape[1]


@torch.no_grad()
def test_a_second_sequence_may_begin_with_a_cache_of_its_own():
    subject = model()
    with record(subject) as recorder:
        for _ in range(2):
            subject(PROMPT, **continuing(DynamicCache(config=subject.config)))
    assert [set(trace["call"]) for trace in recorder.traces] == [{0}, {0}]
