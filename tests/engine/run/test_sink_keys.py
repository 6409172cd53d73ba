"""A run hides the sink keys that its trace names, in the heads that it keeps."""

import numpy as np
import pytest

from attentropy.engine.run.extract import extract
from attentropy.engine.trace import sink_keys
from attentropy.engine.trace.redaction import redact
from attentropy.engine.trace.statistics import WITHOUT_SINKS

PROMPT = "What is the capital of France? And what is the capital of Chile?"


@pytest.fixture(autouse=True)
def sensitive(monkeypatch):
    """Call keys sinks that receive a little: the embedded model has no real ones."""
    monkeypatch.setattr(sink_keys, "SHARE", 0.04)
    monkeypatch.setattr(sink_keys, "_TIMES_UNIFORM", 0.5)


def _extract(**options):
    return extract(prompt=PROMPT, device="cpu", lens="none", **{"max_new_tokens": 3} | options)


def test_rows_without_sinks_follow_from_the_exact_weights():
    trace = _extract(max_new_tokens=0)
    keys, p = trace["sink_keys"], trace["window"].astype(np.float64)
    assert (keys.sum(1) > 0).any()
    for entry in np.flatnonzero(keys.sum(1)):
        is_sink = keys[entry] > 0
        rest = np.where(is_sink, 0, p[entry])
        total = rest.sum(-1, keepdims=True)
        rest = np.divide(rest, total, out=np.zeros_like(rest), where=total > 0)
        entropy = -(rest * np.log(np.where(rest > 0, rest, 1))).sum(-1)
        own = trace["entropy_without_sinks"][entry]
        rows = np.isfinite(own)
        assert rows.any(1).all()
        assert not rows[:, is_sink].any()
        np.testing.assert_allclose(own[rows], entropy[rows], atol=1e-4)
        mass = p[entry][..., is_sink].sum(-1)
        np.testing.assert_allclose(trace["sink_key_mass"][entry][rows], mass[rows], atol=1e-5)
        tops = trace["top_key_without_sinks"][entry][rows]
        assert not is_sink[tops].any()
        np.testing.assert_allclose(rest[rows, tops], rest.max(-1)[rows], atol=1e-6)


def test_the_answers_queries_have_rows_without_the_prompts_sinks():
    trace = _extract()
    prompt = trace.prompt_tokens
    assert (trace["sink_keys"][:, prompt:] == -1).all()
    hidden = trace["sink_keys"][:, :prompt].any(1)
    assert np.isfinite(trace["sink_key_mass"][hidden][..., prompt:]).any()


def test_heads_that_are_left_out_change_nothing_of_the_others():
    whole, one = _extract(), _extract(heads="1")
    for name in WITHOUT_SINKS:
        np.testing.assert_array_equal(one[name][:, 0], whole[name][:, 1])
    mean = _extract(heads="mean")
    assert not set(WITHOUT_SINKS) & set(mean.dataset)
    np.testing.assert_array_equal(mean["sink_keys"], whole["sink_keys"])


def test_without_scores_or_received_attention_nothing_is_hidden():
    for options in ({"scores": False}, {"map_tile": "none"}):
        assert not {*WITHOUT_SINKS, "sink_keys"} & set(_extract(**options).dataset)


def test_a_redacted_trace_still_names_its_sinks():
    trace = _extract(max_new_tokens=0)
    own, redacted = sink_keys.sink_keys(trace), sink_keys.sink_keys(redact(trace))
    np.testing.assert_array_equal(redacted.is_sink, own.is_sink)


def test_a_trace_that_does_not_name_its_sinks_has_the_same_ones():
    trace = _extract()
    older = type(trace)(trace.dataset.drop_vars([*WITHOUT_SINKS, "sink_keys"]))
    np.testing.assert_array_equal(
        sink_keys.sink_keys(older).is_sink, sink_keys.sink_keys(trace).is_sink
    )
