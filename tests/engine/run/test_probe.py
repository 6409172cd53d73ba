"""All checks before a prompt's first chunk share a few passes of the model."""

import pytest
import torch
from transformers import AutoModel

from attentropy.engine import demo
from attentropy.engine.attention.selfcheck import check_model
from attentropy.engine.model.cache import cache_of, continuing
from attentropy.engine.model.load import load
from attentropy.engine.record.record import record
from attentropy.engine.run.extract import extract
from attentropy.engine.run.probe import RunProbe
from tiny import config, model

LONG = "Paris is a city. " * 40


@pytest.fixture
def fresh():
    """Return the embedded model, newly loaded and never checked before."""
    return load(device="cpu")


def _passes(loaded, **options):
    """Return the number of tokens of each pass of an extraction."""
    lengths = []

    def note(module, args, kwargs):
        lengths.append((args[0] if args else kwargs["input_ids"]).shape[1])

    handle = loaded.model.register_forward_pre_hook(note, with_kwargs=True)
    arguments = {"prompt": demo.DEFAULT_PROMPT, "max_new_tokens": 0} | options
    extract(loaded.model, tokenizer=loaded.tokenizer, **arguments)
    handle.remove()
    return lengths


def test_a_short_prompt_is_read_after_at_most_four_passes_and_fewer_the_second_time(fresh):
    first, second = (_passes(fresh) for _ in range(2))
    assert first[-2] == second[-2] == 17  # the prompt; the placebo questions follow in one pass
    assert len(first) - 2 <= 4
    assert len(second) < len(first)
    assert len(_passes(fresh, lens=("residual", "attention", "mlp"))) - 2 <= 4


def test_a_cache_that_is_kept_takes_no_pass_of_its_own(fresh, tmp_path):
    options = {"keep_cache": True, "output": tmp_path / "t.zarr"}
    assert len(_passes(fresh, **options)) - 2 <= 4


def test_a_model_is_asked_once_whether_it_can_be_read_in_chunks(fresh):
    first, second = (_passes(fresh, prompt=LONG, chunk=64) for _ in range(2))
    chunks = [length for length in first if length == 64]
    assert len(chunks) >= 2
    assert first.index(64) <= 5
    assert second.index(64) <= 2
    assert first[first.index(64) :] == second[second.index(64) :]


def test_padding_is_checked_only_where_it_is_met_and_once():
    subject, lengths = model(), []
    subject.register_forward_hook(lambda m, args, out: lengths.append(args[0].shape))
    ids = torch.arange(20, 44).reshape(2, 12)
    mask = torch.ones_like(ids)
    mask[1, :4] = 0
    with torch.no_grad(), record(subject):
        subject(ids, use_cache=False)
    assert len(lengths) == 3  # two of them belong to the check
    for passes in (3, 1):
        before = len(lengths)
        with torch.no_grad(), record(subject) as recorder:
            subject(ids, attention_mask=mask, use_cache=False)
        assert len(lengths) - before == passes
        assert [trace.dataset.sizes["query"] for trace in recorder.traces] == [12, 8]


def test_a_padded_batch_goes_on_from_its_cache_after_the_check_of_its_padding():
    subject = model()
    ids = torch.arange(20, 44).reshape(2, 12)
    mask = torch.ones_like(ids)
    mask[1, :4] = 0
    with torch.no_grad(), record(subject) as recorder:
        cache = cache_of(subject(ids[:, :8], attention_mask=mask[:, :8], use_cache=True))
        subject(ids[:, 8:], attention_mask=mask, **continuing(cache))
    assert [trace.dataset.sizes["query"] for trace in recorder.traces] == [12, 8]


def test_an_encoder_is_checked_on_its_whole_text():
    """An encoder's outputs depend on later tokens: a pass over a shorter text would differ."""
    torch.manual_seed(0)
    subject = AutoModel.from_config(config("bert")).eval()
    ids = torch.arange(20, 84)[None]
    RunProbe(subject, ids, in_chunks=True).check()
    assert check_model(subject).calls == {(0, 0), (1, 0), (2, 0)}
