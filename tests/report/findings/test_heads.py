"""The heads of the model are listed by kind, apart from the findings."""

import math

import numpy as np
import pytest

from attentropy.engine.trace.dataset import Trace
from attentropy.report.findings.observations import observe
from attentropy.report.findings.scored_heads import model_heads
from traces import synthetic

UNIFORM = {"local": 0.6, "previous": 0.02}


def _with(n=40, **scores):
    """Return a synthetic trace of `n` tokens with scores [6 layers, 3 heads]."""
    dataset = synthetic(["a"] * n, ["content"] * n).dataset
    dims = ("layer", "score_head")
    arrays = {f"head_{name}": (dims, values.astype(np.float32)) for name, values in scores.items()}
    for name in UNIFORM.keys() & scores.keys():
        arrays[f"uniform_{name}"] = ("layer", np.full(6, UNIFORM[name], np.float32))
    return Trace(dataset.assign(arrays).assign_coords(score_head=np.arange(3, dtype=np.int32)))


def _by_id(trace):
    return {fact.id: fact for fact in model_heads(trace)}


def _heads(value, **cells):
    values = np.full((6, 3), value)
    for where, cell in cells.items():
        values[int(where[1]), int(where[3])] = cell
    return values


def test_many_heads_are_named_without_reading_the_trace_for_each(monkeypatch):
    trace = _with(induction=np.full((6, 3), 0.9))
    reads = []
    read = Trace.__getitem__
    monkeypatch.setattr(
        Trace, "__getitem__", lambda own, key: (reads.append(key), read(own, key))[1]
    )
    assert len(_by_id(trace)["induction"].heads) == 18
    assert reads.count("layer") == 1


def test_heads_above_the_limit_are_listed_the_strongest_first():
    fact = _by_id(_with(induction=_heads(0.1, l2h1=0.31, l4h0=0.95)))["induction"]
    assert [head for head, _ in fact.heads] == ["L4H0", "L2H1"]
    assert (fact.limit, fact.n) == (0.3, 18)
    assert fact.text == "L4H0 (0.95), L2H1 (0.31); 2 of 18 heads."
    assert fact.name == "Induction"


def test_a_long_list_is_cut():
    fact = _by_id(_with(induction=_heads(0.5)))["induction"]
    assert fact.text.endswith("and 10 more; 18 of 18 heads.")
    assert len(fact.heads) == 18


def test_where_no_head_is_above_the_limit_the_highest_is_named():
    fact = _by_id(_with(local=_heads(0.2, l3h2=0.89)))["local"]
    assert fact.heads == ()
    assert fact.text == "none of 18 heads; highest: L3H2 (0.89)."


def test_a_short_row_does_not_make_every_head_a_previous_token_head():
    trace = _with(previous=_heads(0.4))
    assert len(_by_id(trace)["previous"].heads) == 18
    trace.dataset["uniform_previous"].values[:] = 0.25
    assert _by_id(trace)["previous"].heads == ()


def test_a_head_is_named_by_the_number_that_the_model_gives_it():
    trace = _with(induction=_heads(0.1, l4h0=0.95))
    trace = Trace(trace.dataset.assign_coords(score_head=np.array([3, 7, 11], np.int32)))
    assert _by_id(trace)["induction"].heads[0][0] == "L4H3"


def test_what_was_not_measured_has_no_line():
    assert _by_id(synthetic()) == {}
    facts = _by_id(_with(local=_heads(np.nan, l1h1=0.5), induction=_heads(0.5, l0h0=math.inf)))
    assert facts["local"].n == 1
    assert facts["induction"].n == 17


def test_heads_of_the_model_are_no_findings():
    trace = _with(previous=_heads(0.9), induction=_heads(0.9), local=_heads(0.95))
    assert not [o for o in observe(trace) if o.id.startswith("head_")]


def _with_sink(n=40, at=(0,), weight=0.5, layers=6):
    """Return a trace in which every head of every layer puts `weight` on each sink key."""
    tokens = ["<s>", *([" the"] * (n - 1))]
    trace = synthetic(tokens, ["bos", *(["content"] * (n - 1))], layers=layers)
    p = np.tril(np.ones((n, n)))
    p /= p.sum(1, keepdims=True)
    for key in at:
        p[key + 1 :] *= 1 - weight
        p[key + 1 :, key] += weight
    dataset = trace.dataset
    dataset["max_prob"].values[:] = p.max(-1)
    dataset["top_key"].values[:] = p.argmax(-1)
    received = np.broadcast_to(p.sum(0), (layers, 1, n)).astype(np.float32)
    dataset = dataset.assign(received=(("layer", "received_head", "position"), received))
    return Trace(dataset.assign_coords(received_head=np.array([-1], np.int32)))


def _sinks(trace):
    return next(o for o in observe(trace) if o.id == "sinks")


def test_sinks_are_named_with_their_layers_and_shares():
    finding = _sinks(_with_sink())
    assert finding.is_found
    assert (finding.position, finding.n) == (0, 1)
    # A short prompt's first key gets more than a tenth anyway: its limit is twice that.
    uniform = (1 / np.arange(1, 41)).mean()
    assert finding.threshold == pytest.approx(max(0.2, 2 * uniform))
    assert finding.text.startswith("Attention sink: “<s>” (position 0) in layers 0–5 with ")
    two = _sinks(_with_sink(at=(0, 20), weight=0.6))
    assert two.text == (
        "Attention sinks: “_the” (position 20) in layers 0–5 with 58 % of the attention and "
        "“<s>” (position 0) in layers 0–5 with 47 %."
    )


def test_a_sink_of_one_layer_alone_is_not_named():
    trace = _with_sink()
    trace.dataset["received"].values[1:] = 1
    assert not _sinks(trace).is_found
    assert _sinks(trace).text.startswith("No attention sink")


def test_a_word_of_content_is_no_sink_unless_it_is_the_first_token():
    trace = _with_sink(at=(0, 20), weight=0.6)
    texts = trace.dataset["token_text"].values.copy()
    texts[20] = " Canberra"
    trace = Trace(trace.dataset.assign_coords(token_text=("position", texts)))
    assert _sinks(trace).n == 1


def test_a_redacted_trace_without_sink_keys_says_why():
    trace = Trace(_with_sink().dataset.assign_attrs(redacted=True))
    assert "redacted" in _sinks(trace).text
    keys = np.zeros((6, 40), np.int32)
    keys[:, 0] = 1
    trace = Trace(trace.dataset.assign(sink_keys=(("layer", "position"), keys)))
    assert _sinks(trace).n == 1


def test_sinks_without_what_keys_receive_are_not_measured():
    finding = _sinks(synthetic())
    assert (finding.is_found, finding.value) == (False, None)
    assert "not measured" in finding.text


@pytest.mark.parametrize(("weight", "idle"), [(0.95, 18), (0.6, 0)])
def test_a_head_that_puts_nearly_all_on_a_sink_is_idle(weight, idle):
    fact = _by_id(_with_sink(n=64, weight=weight))["idle"]
    assert len(fact.heads) == idle
    assert fact.n == 18


def test_idle_heads_are_those_of_the_exact_weights():
    trace = _with_sink(n=64, weight=0.95)
    trace.dataset["max_prob"].values[2, 1, ::2] = 0.5
    heads = {head for head, _ in _by_id(trace)["idle"].heads}
    assert "L2H1" not in heads
    assert len(heads) == 17


def test_focus_leaves_sink_keys_out_where_the_trace_has_rows_without_them():
    trace = _with_sink()
    dims = ("layer", "head", "query")
    without = np.full((6, 3, 40), np.nan, np.float32)
    visible = np.arange(40)
    without[..., 1:] = 0.5 * np.log(np.maximum(visible, 2))[1:]
    without[2, 1, 1:] = 0
    keys = np.zeros((6, 40), np.int32)
    keys[:, 0] = 1
    dataset = trace.dataset.assign(
        entropy_without_sinks=(dims, without), sink_keys=(("layer", "position"), keys)
    )
    findings = {o.id: o for o in observe(Trace(dataset))}
    heads, used = findings["heads"], findings["range"]
    assert (heads.layer, heads.head) == (2, 1)
    assert heads.value == pytest.approx(0)
    assert used.value == pytest.approx(0.5 * 17 / 18, abs=1e-6)
    assert "sink keys left out" in heads.text
    assert heads.n == 40 - 16
