"""The cache is passed under the name that the installed transformers has: nothing warns."""

import warnings
from types import SimpleNamespace

import torch
from transformers.utils import logging

from attentropy.engine.model.cache import cache_in, cache_of, continuing
from attentropy.engine.run.extract import extract
from tiny import model, tokenizer


def test_the_cache_is_found_under_both_names():
    cache = object()
    assert cache_of(SimpleNamespace(cache=cache)) is cache
    assert cache_of(SimpleNamespace(past_key_values=cache)) is cache
    assert cache_in({"past_key_values": cache}) is cache
    assert cache_in({"cache": cache}) is cache


def test_an_output_without_a_cache_gives_none_and_continues_none():
    assert cache_of((torch.zeros(1),)) is None
    assert cache_of(SimpleNamespace(cache=None)) is None
    assert continuing(None) == {}


def test_a_run_in_chunks_with_an_answer_uses_no_name_that_is_going_away(monkeypatch):
    warned = []
    monkeypatch.setattr(
        logging.get_logger("transformers.utils.generic"),
        "warning_once",
        lambda text, *rest: warned.append(text),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        trace = extract(model(), "Paris is a city. " * 8, tokenizer=tokenizer(), chunk=32)
    assert len(trace.dataset["step"]) > 1
    assert warned == []
