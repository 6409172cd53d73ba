"""What is computed from a trace once belongs to that trace alone."""

import gc
import weakref

import numpy as np
import pytest

from attentropy import compare
from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.derived import once_per_trace
from attentropy.engine.trace.lens_skill import lens_skill
from attentropy.engine.trace.redaction import redact
from attentropy.engine.trace.sink_keys import sink_keys
from skilled import skilled
from traces import synthetic


def with_sink():
    """Return a trace that has what each key receives, most of it the first."""
    dataset = skilled(roles=["content"] * 40, tokens=[f" t{i}" for i in range(40)]).dataset
    layers = dataset.sizes["layer"]
    share = np.where(np.arange(40) == 0, 0.5, 0.01)
    received = np.broadcast_to(share * np.arange(40, 0, -1), (layers, 1, 40))
    visible = np.broadcast_to(np.arange(1, 41), (layers, 40))
    return Trace(dataset.assign(
        received=(("layer", "received_head", "position"), received.astype(np.float32)),
        visible=(("layer", "query"), visible.astype(np.int32)),
    ))  # fmt: skip


def changed(trace, name, value):
    """Return a trace with another value in one variable, which has these of the given one."""
    return Trace(trace.dataset.assign({name: trace.dataset[name] * 0 + value}))


# How one makes a trace from another, and whether its lens has another skill then.
DERIVED = {
    "other values": (lambda trace: changed(trace, "lens_kl", 1.5), True),
    "fewer layers": (lambda trace: Trace(trace.dataset.isel(layer=slice(2, None))), True),
    "fewer sites": (lambda trace: Trace(trace.dataset.isel(site=[0])), False),
    "redacted": (redact, False),
    "segments": (lambda trace: trace.with_segments({"all": [0, 5]}), False),
    "difference": (lambda trace: compare(trace, skilled()), None),
}


def test_a_function_is_called_once_per_trace_and_arguments():
    calls = []

    @once_per_trace
    def double(trace, number):
        calls.append((trace, number))
        return [2 * number]

    one, other = synthetic(), synthetic()
    assert double(one, 3) is double(one, 3)
    assert double(one, 4) == [8]
    assert double(other, 3) == [6]
    assert calls == [(one, 3), (one, 4), (other, 3)]


def test_a_result_goes_with_its_trace():
    trace = skilled()
    assert lens_skill(trace) is not None
    there = weakref.ref(trace)
    del trace
    gc.collect()
    assert there() is None


def test_skill_and_sinks_are_computed_once():
    trace = with_sink()
    assert sink_keys(trace).named == [0]
    assert trace.lens_skill() is lens_skill(trace, "residual")
    assert sink_keys(trace) is sink_keys(trace)


@pytest.mark.parametrize("how", DERIVED)
def test_a_trace_that_is_made_from_another_has_its_own(how):
    make, is_other = DERIVED[how]
    trace = skilled()
    before = trace.lens_skill()
    derived = make(trace)
    again = lens_skill(derived)
    if is_other is None:  # a difference has no lens of its own; each of its sides has
        assert (again, derived.a.lens_skill()) == (None, before)
        assert derived.b.lens_skill() is not before
        return
    assert again is not before
    assert (not np.array_equal(again.skill, before.skill)) == is_other
    assert trace.lens_skill() is before


def test_a_trace_with_other_attention_has_its_own_sinks():
    trace = with_sink()
    assert sink_keys(trace).named == [0]
    assert sink_keys(changed(trace, "received", 0.0)).named == []


def test_nobody_changes_what_others_read_too():
    trace = with_sink()
    arrays = [trace.lens_skill().skill, trace.lens_skill().agreement]
    arrays += [sink_keys(trace).is_sink, sink_keys(trace).share]
    for values in arrays:
        with pytest.raises(ValueError, match="read-only"):
            values[0] = 0
