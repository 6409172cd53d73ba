"""Each sequence of a batch is recorded as if it ran alone, with any kind of cache."""

import numpy as np
import pytest
import torch
import transformers
from transformers import DynamicCache, StaticCache

from attentropy.engine.errors import AttentropyError
from attentropy.engine.model.cache import cache_of, continuing
from attentropy.engine.record.record import record
from tiny import model

WINDOWED = {"sliding_window": 7, "head_dim": 16}
KINDS = [
    ("llama", {}),
    ("mistral", {"sliding_window": 7}),
    ("gemma3_text", WINDOWED | {"query_pre_attn_scalar": 16}),
    ("gpt2", {"n_embd": 48, "n_layer": 3, "n_head": 4, "n_positions": 256}),
    ("gpt_oss", WINDOWED | {"num_local_experts": 4}),
    ("llama4_text", {"attention_chunk_size": 8, "head_dim": 16, "num_local_experts": 2}),
]
EVERY_KIND = pytest.mark.parametrize(("kind", "extra"), KINDS, ids=[kind for kind, _ in KINDS])
LENGTHS = (37, 11, 24)
LENGTH = max(LENGTHS)


def _prompts():
    drawn = torch.Generator().manual_seed(0)
    return [torch.randint(3, 250, (n,), generator=drawn) for n in LENGTHS]


def _padded(prompts, side, fill=1):
    """Return the model inputs of the padded batch, each of shape [prompts, LENGTH]."""
    ids = torch.full((len(prompts), LENGTH), fill)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        at = slice(LENGTH - len(prompt), LENGTH) if side == "left" else slice(0, len(prompt))
        ids[row, at], mask[row, at] = prompt, 1
    return {
        "input_ids": ids,
        "attention_mask": mask,
        "position_ids": (mask.cumsum(-1) - 1).clamp_min(0),
    }


@torch.no_grad()
def _alone(subject, ids):
    with record(subject, window=True) as recorder:
        subject(ids[None], use_cache=False)
    return recorder.trace


@torch.no_grad()
def _in_chunks(subject, cache, sizes, length=LENGTH, **inputs):
    with record(subject, window=True, length=length) as recorder:
        start = 0
        for size in sizes:
            now = {k: v[:, start : start + size] for k, v in inputs.items()}
            if "attention_mask" in now:
                now["attention_mask"] = inputs["attention_mask"][:, : start + size]
            subject(**now, **continuing(cache), use_cache=True)
            start += size
    return recorder.traces


def _assert_same(trace, wanted, windows=True):
    assert trace.dataset.sizes["query"] == wanted.dataset.sizes["query"]
    names = set(wanted.dataset.data_vars)
    assert {"entropy", "visible", "top_key", "sink_mass", "distance", "window"} <= names
    if not windows:
        names -= {"window"}
    for name in sorted(names):
        np.testing.assert_allclose(trace[name], wanted[name], atol=1e-5, rtol=0, err_msg=name)
    if windows:
        for name in ("window_query", "window_key"):
            np.testing.assert_array_equal(trace[name], wanted[name])


@pytest.mark.parametrize("side", ["left", "right"])
@EVERY_KIND
def test_a_padded_batch_gives_the_traces_of_single_runs(kind, extra, side):
    subject, prompts = model(kind, **extra), _prompts()
    with torch.no_grad(), record(subject, window=True) as recorder:
        subject(**_padded(prompts, side), use_cache=False)
    assert len(recorder.traces) == len(prompts)
    for trace, prompt in zip(recorder.traces, prompts, strict=True):
        _assert_same(trace, _alone(subject, prompt))


@pytest.mark.parametrize("static", [False, True], ids=["dynamic", "static"])
@EVERY_KIND
def test_a_padded_batch_in_chunks_gives_the_traces_of_single_runs(kind, extra, static):
    subject, prompts = model(kind, **extra), _prompts()
    cache = StaticCache(subject.config, 64) if static else DynamicCache(config=subject.config)
    traces = _in_chunks(subject, cache, (11, 11, 15), **_padded(prompts, "left"))
    for trace, prompt in zip(traces, prompts, strict=True):
        _assert_same(trace, _alone(subject, prompt), windows=False)


@pytest.mark.parametrize("static", [False, True], ids=["dynamic", "static"])
@EVERY_KIND
def test_one_token_at_a_time_gives_what_one_pass_gives(kind, extra, static):
    subject, prompt = model(kind, **extra), _prompts()[0]
    cache = StaticCache(subject.config, 64) if static else DynamicCache(config=subject.config)
    (trace,) = _in_chunks(subject, cache, (5, *[1] * (LENGTH - 5)), input_ids=prompt[None])
    _assert_same(trace, _alone(subject, prompt), windows=False)


def test_the_exact_weights_of_a_sequence_end_where_it_ends():
    subject, prompts = model(), _prompts()
    with torch.no_grad(), record(subject, window=True) as recorder:
        subject(**_padded(prompts, "left"), use_cache=False)
    for trace, length in zip(recorder.traces, LENGTHS, strict=True):
        np.testing.assert_array_equal(trace["window_query"], np.arange(length))
        np.testing.assert_allclose(trace["window"].sum(-1), 1, atol=1e-5)


@pytest.mark.parametrize("implementation", [None, "static"], ids=["dynamic", "static"])
@EVERY_KIND
def test_generation_records_each_token_that_the_model_reads(kind, extra, implementation):
    if (kind, implementation) == ("llama4_text", "static") and transformers.__version__ == "5.17.0":
        pytest.skip("transformers 5.17.0 itself cannot generate with chunks and a static cache")
    subject, prompts = model(kind, **extra), _prompts()
    padded = _padded(prompts, "left")
    del padded["position_ids"]
    with record(subject, window=True) as recorder:
        out = subject.generate(
            **padded, max_new_tokens=9, min_new_tokens=9, do_sample=False, pad_token_id=1,
            cache_implementation=implementation,
        )  # fmt: skip
    assert out.shape == (len(prompts), LENGTH + 9)
    for trace, row, length in zip(recorder.traces, out, LENGTHS, strict=True):
        read = row[LENGTH - length : -1]  # the last token generated is never read
        _assert_same(trace, _alone(subject, read), windows=False)
        np.testing.assert_array_equal(trace["window_query"], np.arange(length))


def test_generation_without_a_cache_is_refused():
    subject, ids = model(), _prompts()[0][None]
    with (
        record(subject, window=True),
        pytest.raises(AttentropyError, match="the KV cache to continue"),
    ):
        subject.generate(ids, max_new_tokens=3, min_new_tokens=3, use_cache=False, pad_token_id=1)


def test_several_sequences_have_no_single_trace():
    subject = model()
    with torch.no_grad(), record(subject, window=True) as recorder:
        subject(_prompts()[0].repeat(2, 1), use_cache=False)
    with pytest.raises(AttentropyError, match=r"recorder\.traces"):
        _ = recorder.trace


@torch.no_grad()
def test_a_batch_that_changes_its_size_is_refused():
    subject, ids = model(), _prompts()[0][None]
    with record(subject, window=True):
        cache = cache_of(subject(ids, use_cache=True))
        cache.batch_repeat_interleave(2)
        with pytest.raises(AttentropyError, match="reordered or cropped"):
            subject(ids[:, :1].repeat(2, 1), **continuing(cache))
    with record(subject, window=True):
        cache = cache_of(subject(ids, use_cache=True))
        with pytest.raises(Exception, match="size"):
            subject(ids[:, :1].repeat(2, 1), **continuing(cache))


@torch.no_grad()
@pytest.mark.parametrize("masked", [False, True])
def test_tokens_after_right_padding_are_refused(masked):
    subject, padded = model(), _padded(_prompts(), "right")
    new = torch.ones(len(LENGTHS), 1, dtype=torch.int64)
    mask = torch.cat([padded["attention_mask"], new], 1) if masked else None
    with record(subject, window=True):
        cache = cache_of(subject(**padded, use_cache=True))
        with pytest.raises(AttentropyError, match="middle" if masked else "not consecutive"):
            subject(new, **continuing(cache), attention_mask=mask)


@torch.no_grad()
def test_a_pass_that_forgets_the_left_padding_is_refused():
    subject, padded = model(), _padded(_prompts(), "left")
    new = torch.ones(len(LENGTHS), 1, dtype=torch.int64)
    with record(subject, window=True):
        cache = cache_of(subject(**padded, use_cache=True))
        with pytest.raises(AttentropyError, match="not consecutive"):
            subject(new, **continuing(cache))
