"""Each measured head score has a finding, which may be "none"; no other score has one."""

import math

import numpy as np
import pytest

from attentropy.engine.trace.dataset import Trace
from attentropy.report.findings.single import observe
from traces import synthetic

UNIFORM = {"sink": 0.003, "local": 0.6, "previous": 0.02}


def _with(options=None, **scores):
    """Return the synthetic trace with scores [6 layers, 3 heads] and those of a uniform row."""
    dataset = synthetic().dataset
    dims = ("layer", "score_head")
    arrays = {f"head_{name}": (dims, values.astype(np.float32)) for name, values in scores.items()}
    for name in UNIFORM.keys() & scores.keys():
        arrays[f"uniform_{name}"] = ("layer", np.full(6, UNIFORM[name], np.float32))
    dataset = dataset.assign(arrays).assign_coords(score_head=np.arange(3, dtype=np.int32))
    return Trace(dataset.assign_attrs(options={"induction": {"uniform": 0.01}} | (options or {})))


def _by_id(trace):
    return {o.id: o for o in observe(trace) if o.id.startswith("head_")}


def _heads(value, **cells):
    values = np.full((6, 3), value)
    for where, cell in cells.items():
        values[int(where[1]), int(where[3])] = cell
    return values


def test_heads_past_a_threshold_are_counted_and_the_first_is_named():
    o = _by_id(_with(sink=_heads(0.1, l2h1=0.31, l4h0=0.95)))["head_sink"]
    assert (o.is_found, o.layer, o.head, o.n, o.threshold) == (True, 4, 0, 18, 0.3)
    assert o.value == pytest.approx(0.95)
    assert o.statistic == "head_sink"
    assert o.text.startswith("2 of 18 heads have an attention sink")
    assert "more than 30 % of the attention; uniform: 0.3 %" in o.text
    assert o.text.endswith("Highest: L4H0, 95 %.")


def test_one_head_is_said_to_be_one():
    findings = _by_id(_with(sink=_heads(0.1, l2h1=0.5), diffuse=_heads(0.5, l1h1=0.95)))
    assert findings["head_sink"].text.startswith("1 of 18 heads has an attention sink")
    assert findings["head_diffuse"].text.startswith("1 of 18 heads is diffuse")


@pytest.mark.parametrize(("name", "threshold"), [("sink", 0.3), ("local", 0.9), ("diffuse", 0.9)])
def test_a_threshold_that_no_head_passes_is_said_to_be_passed_by_none(name, threshold):
    scores = _heads(threshold / 2, l3h2=threshold)
    o = _by_id(_with(**{name: scores.astype(np.float64) - 1e-3}))[f"head_{name}"]
    assert not o.is_found
    assert o.text.startswith(
        f"None of 18 heads {'has an attention sink' if name == 'sink' else 'is'}"
    )
    assert (o.layer, o.head, o.threshold) == (3, 2, threshold)


def test_a_score_without_a_threshold_stands_beside_the_uniform_row():
    findings = _by_id(_with(previous=_heads(0.01, l5h2=0.7), induction=_heads(0.005)))
    previous, induction = findings["head_previous"], findings["head_induction"]
    assert (previous.is_found, previous.layer, previous.head) == (True, 5, 2)
    assert previous.threshold == pytest.approx(0.02)
    assert previous.text == (
        "Strongest previous-token head: L5H2, 70 % of its attention (uniform: 2 %)."
    )
    assert induction.text.startswith("Strongest induction head (on repeated random tokens): L0H0")
    assert not induction.is_found
    assert induction.threshold == pytest.approx(0.01)


def test_a_head_is_named_by_the_number_that_the_model_gives_it():
    trace = _with(sink=_heads(0.1, l4h0=0.95))
    trace = Trace(trace.dataset.assign_coords(score_head=np.array([3, 7, 11], np.int32)))
    o = _by_id(trace)["head_sink"]
    assert o.head == 3
    assert "L4H3, 95 %" in o.text


def test_what_was_not_measured_has_no_finding():
    assert _by_id(synthetic()) == {}
    findings = _by_id(_with(sink=_heads(np.nan), local=_heads(np.nan, l1h1=0.5)))
    assert set(findings) == {"head_local"}
    assert findings["head_local"].n == 1


def test_damaged_provenance_and_values_make_no_other_finding():
    for options in ({"induction": 3}, {"induction": {"uniform": "x"}}):
        o = _by_id(_with(options, induction=_heads(0.5, l0h0=math.inf)))["head_induction"]
        assert (o.threshold, o.n) == (None, 17)
        assert o.value == pytest.approx(0.5)
    dataset = _with(induction=_heads(0.5)).dataset
    assert _by_id(Trace(dataset.assign_attrs(options=[1])))["head_induction"].threshold is None
