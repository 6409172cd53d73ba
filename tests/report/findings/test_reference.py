"""A prompt departs from a reference only outside its range by more than the range's width."""

import numpy as np
import pytest

from attentropy.engine.errors import UsageError
from attentropy.engine.trace.dataset import Trace
from attentropy.report import planes
from attentropy.report.compare.difference import compare
from attentropy.report.findings.observations import observe
from attentropy.report.findings.reference import check_references, observe_reference
from traces import CHAT, synthetic

N = len(CHAT)


def _with_reference(low, high, tokens=N, questions=5):
    """Return a trace with a reference from `low` to `high` times its own values."""
    trace = synthetic()
    read = planes.read_attention(trace)
    attention = read.normalized_sum.sum(1) / read.normalized_count.sum(1)
    lens = trace.lens("lens_entropy")[:, N - 1]
    factors = np.linspace(low, high, questions)[:, None]
    dims = ("reference", "layer")
    return Trace(
        trace.dataset.assign(
            reference_tokens=("reference", np.full(questions, tokens, np.int32)),
            reference_entropy=(dims, (factors * attention).astype(np.float32)),
            reference_lens_entropy=(dims, (factors * lens).astype(np.float32)),
        )
    )


def _findings(trace, references=()):
    return {o.id: o for o in observe_reference(trace, None, references)}


@pytest.mark.parametrize(
    ("low", "high", "departs"),
    [(0.9, 1.1, False), (0.7, 0.86, False), (0.5, 0.6, True), (1.2, 1.5, False), (1.5, 1.6, True)],
)
def test_a_departure_is_larger_than_the_range_is_wide(low, high, departs):
    findings = _findings(_with_reference(low, high))
    assert ("reference_attention" in findings) is departs
    assert ("reference_lens" in findings) is departs


def test_the_sentence_has_the_value_the_range_and_the_number_of_layers():
    trace = _with_reference(0.5, 0.6)
    findings = _findings(trace)
    entry, value = findings["reference_attention"].layer, findings["reference_attention"].value
    low, high = (
        trace["reference_entropy"][:, entry].min(),
        trace["reference_entropy"][:, entry].max(),
    )
    assert findings["reference_attention"].text == (
        "This prompt spreads its attention over more keys than each of 5 placebo questions in 6 "
        f"of 6 layers, most in layer {entry}: mean normalized entropy {value:.2f} "
        f"({low:.2f} to {high:.2f}; all keys)."
    )
    text = findings["reference_lens"].text
    assert text.startswith("This prompt leaves the lens less certain at its last token than each")
    less = _findings(_with_reference(1.5, 1.6))
    assert "focuses its attention on fewer keys than each of 5" in less["reference_attention"].text
    assert "more certain at its last token" in less["reference_lens"].text


def _without_sinks(trace, factor=1.0, low=0.5, high=0.6):
    """Add entropies without sink keys: `factor` times those of all keys, in prompt and reference.

    The reference is from `low` to `high` times the prompt's own value.
    """
    data = trace.dataset.copy(deep=True)
    entropy = data["entropy"].values
    own = np.full_like(entropy, np.nan)
    own[..., 1:N] = factor * entropy[..., 1:N]
    sinks = np.zeros((entropy.shape[0], data.sizes["position"]), np.int32)
    sinks[:, 0] = 1
    data = data.assign(
        entropy_without_sinks=(data["entropy"].dims, own),
        sink_keys=(("layer", "position"), sinks),
    )
    read = planes.read_attention(Trace(data))
    mean = read.focus_sum.sum(1) / read.focus_count.sum(1)
    values = np.linspace(low, high, 5)[:, None] * mean
    dims = ("reference", "layer")
    return Trace(
        data.assign(reference_entropy_without_sinks=(dims, values.astype(np.float32)))
    ), mean


def test_where_all_have_it_the_values_without_sink_keys_are_compared():
    trace, mean = _without_sinks(_with_reference(0.9, 1.1), 0.4)
    finding = _findings(trace)["reference_attention"]
    assert finding.value == pytest.approx(mean[finding.layer], rel=1e-6)
    low, high = trace["reference_entropy_without_sinks"][[0, -1], finding.layer]
    assert finding.text.endswith(
        f": mean normalized entropy {finding.value:.2f} ({low:.2f} to {high:.2f}; queries with at "
        "least 16 keys, sink keys left out)."
    )
    assert "reference_attention" not in _findings(
        _without_sinks(_with_reference(0.5, 0.6), 1, 0.9, 1.1)[0]
    )


def test_one_question_without_them_leaves_the_comparison_to_all_keys():
    trace, _ = _without_sinks(_with_reference(0.5, 0.6), 0.4)
    trace.dataset["reference_entropy_without_sinks"].values[2] = np.nan
    assert _findings(trace)["reference_attention"].text.endswith("; all keys).")


def test_layers_whose_lens_cannot_be_read_do_not_count():
    trace = _with_reference(0.5, 0.6)
    trace.dataset["lens_kl"].values[0, :3] = 99.0
    assert "3 of 3 layers, most in layer" in _findings(trace)["reference_lens"].text
    trace = _with_reference(0.5, 0.6)
    trace.dataset["lens_kl"].values[0, :4] = 99.0
    assert "reference_lens" not in _findings(trace)  # two layers say too little


@pytest.mark.parametrize("tokens", [int(N / 1.25) - 1, int(1.25 * N) + 1])
def test_prompts_of_other_lengths_are_no_reference(tokens):
    assert not _findings(_with_reference(0.5, 0.6, tokens))


def test_two_prompts_are_no_range_and_a_small_departure_is_none():
    assert not _findings(_with_reference(0.5, 0.6, questions=2))
    assert not _findings(_with_reference(0.999, 0.9995))


def test_missing_values_and_older_traces_have_no_departure():
    assert not _findings(synthetic())
    trace = _with_reference(0.5, 0.6)
    trace.dataset["reference_entropy"].values[2] = np.nan
    trace.dataset["reference_lens_entropy"].values[:] = np.nan
    assert not _findings(trace)
    bare = Trace(trace.dataset.drop_vars(["entropy", "lens_kl"]))
    assert not _findings(bare)


def _of_model(trace, digest):
    return Trace(
        trace.dataset.assign_attrs(model=trace.attrs["model"] | {"weights_sha256": digest})
    )


def test_earlier_traces_take_the_place_of_the_placebo_questions():
    trace = _of_model(_with_reference(0.5, 0.6), "a")
    others = [_of_model(synthetic(seed=seed), "a") for seed in (4, 5, 6)]
    check_references(trace, others)
    assert not _findings(trace, [trace, trace, trace])
    for one in others:
        one.dataset["entropy"].values[:] *= 0.3
    finding = _findings(trace, others)["reference_attention"]
    assert "than each of 3 reference traces in" in finding.text
    assert finding in observe(trace, None, others)


def test_traces_of_another_model_are_refused():
    trace = _of_model(synthetic(), "a")
    same = [trace] * 2
    with pytest.raises(UsageError, match="trace 3 is not of the same model"):
        check_references(trace, [*same, _of_model(synthetic(), "b")])
    with pytest.raises(UsageError, match="trace 1 is not of the same model"):
        check_references(synthetic(), [synthetic()] * 3)
    with pytest.raises(UsageError, match="trace 3 has other layers"):
        check_references(trace, [*same, _of_model(synthetic(layers=5), "a")])
    with pytest.raises(UsageError, match="at least 3 traces"):
        check_references(trace, same)
    with pytest.raises(UsageError, match="comparison"):
        check_references(compare(trace, trace), [trace] * 3)
    check_references(compare(trace, trace), [])


def test_a_departure_in_fewer_than_a_third_of_the_layers_is_none():
    trace = _with_reference(0.95, 1.05)
    trace.dataset["reference_entropy"].values[:, 2] *= 0.5
    assert not _findings(trace)
    trace.dataset["reference_entropy"].values[:, 3] *= 0.6
    assert not _findings(trace)
    trace.dataset["reference_entropy"].values[:, 4] *= 0.6
    assert "in 3 of 6 layers, most in layer 2" in _findings(trace)["reference_attention"].text
    trace = synthetic(layers=12)
    read = planes.read_attention(trace)
    own = read.normalized_sum.sum(1) / read.normalized_count.sum(1)
    values = np.linspace(0.95, 1.05, 5)[:, None] * own
    values[:, 2:5] *= 0.5
    dims = ("reference", "layer")
    trace = Trace(
        trace.dataset.assign(
            reference_tokens=("reference", np.full(5, N, np.int32)),
            reference_entropy=(dims, values.astype(np.float32)),
            reference_lens_entropy=(dims, np.full_like(values, np.nan, np.float32)),
        )
    )
    assert not _findings(trace)
