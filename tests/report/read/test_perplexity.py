"""The perplexity of a text: exp of its tokens' mean surprisal, by kind of token."""

import re

import numpy as np
import pytest

from attentropy.engine.trace.dataset import Trace
from attentropy.report.commands import info
from attentropy.report.findings.single import observe
from attentropy.report.page.page import render
from attentropy.report.read.perplexity import Perplexity, perplexities
from traces import synthetic


def _with_logprobs(trace, values):
    values = np.asarray(values, np.float32)
    return Trace(trace.dataset.assign(token_logprob=(("query",), values)))


@pytest.fixture
def trace():
    """Return a trace with a surprisal of 1 nat at content tokens and of 4 nats at others."""
    plain = synthetic()
    values = np.where(plain["role"] == "content", -1.0, -4.0)
    values[0] = np.nan
    return _with_logprobs(plain, values)


def test_it_is_taken_over_the_content_and_over_the_whole_prompt(trace):
    content, tokens = int((trace["role"] == "content").sum()), len(trace.tokens)
    values = perplexities(trace)
    assert list(values) == ["content", "prompt"]
    assert values["content"].value == pytest.approx(np.e)
    assert values["content"].tokens == content
    mean = (content + 4 * (tokens - 1 - content)) / (tokens - 1)
    assert values["prompt"].value == pytest.approx(np.exp(mean))
    assert values["prompt"].tokens == tokens - 1


def test_a_trace_without_probabilities_has_none(trace):
    assert perplexities(synthetic()) == {}
    assert perplexities(_with_logprobs(synthetic(), np.full(17, np.nan))) == {}


def test_impossible_probabilities_of_a_stranger_warn_of_nothing(trace):
    values = perplexities(_with_logprobs(synthetic(), np.full(17, -1e30)))
    assert values["prompt"].value == np.inf


@pytest.mark.parametrize(
    ("value", "words"), [(1.0, "1"), (2.718, "2.72"), (99.96, "100"), (5_127_000.4, "5,127,000")]
)
def test_a_large_one_is_said_without_an_exponent(value, words):
    assert Perplexity(value, 3).words == words
    assert "e" not in str(info._rounded(value))


def test_the_page_and_info_say_it(trace, tmp_path):
    page = render(trace, observe(trace))
    words = re.sub("<[^<>]*>", "", page).replace("\N{NO-BREAK SPACE}", " ")
    assert "Perplexity: 2.72 over 7 content tokens, 14.7 over 16 prompt tokens" in words
    assert "surprisal 4.00 nats" in page
    facts = info._store_facts(trace.save(tmp_path / "t.zarr"), None, for_people=True)
    assert facts["perplexity"] == {"content": 2.718, "prompt": pytest.approx(np.exp(43 / 16), 1e-3)}
    assert "Perplexity" not in render(synthetic(), [])
