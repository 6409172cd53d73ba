"""A rehearsal is found where its placebo is far smaller, and both numbers are shown."""

import numpy as np
import pytest

from attentropy.engine.trace.dataset import Trace
from attentropy.report.compare.difference import compare
from attentropy.report.content.rehearsed import rehearsal_lines
from attentropy.report.figures.placement import place
from attentropy.report.findings import compared
from attentropy.report.findings.rehearsal import observe_rehearsal, strongest_rehearsal
from traces import synthetic


def _with_rehearsal(p, rank, placebo=0.001, layer=3, position=14):
    trace = synthetic()
    trace.dataset["rehearsal"].values[:] = -9.0
    trace.dataset["rehearsal_placebo"].values[:] = -12.0
    trace.dataset["rehearsal_rank"].values[:] = 900
    trace.dataset["rehearsal"].values[0, layer, position] = np.log(p)
    trace.dataset["rehearsal_placebo"].values[0, layer, position] = np.log(placebo)
    trace.dataset["rehearsal_rank"].values[0, layer, position] = rank
    return trace


def _without(trace, *names, **attrs):
    return Trace(trace.dataset.drop_vars(names).assign_attrs(attrs))


def test_a_tooltip_has_both_probabilities_of_each_cell():
    trace = _with_rehearsal(0.4, 1, 0.02)
    assert rehearsal_lines(trace) == {"14": {"3": (
        "later in the answer: “Can” 40 % (rank 2), after placebo questions at most 2 %"
    )}}  # fmt: skip
    untested = _without(trace, "rehearsal_placebo")
    [line] = rehearsal_lines(untested)["14"].values()
    assert line.endswith("(rank 2), no placebo question was read")
    assert rehearsal_lines(_without(trace, "rehearsal", "rehearsal_placebo")) == {}
    assert rehearsal_lines(compare(trace, trace)) == {}


def test_rehearsal_is_found_where_rank_probability_and_placebo_pass():
    trace = _with_rehearsal(0.4, 1, 0.02)
    o = observe_rehearsal(trace)
    assert (o.is_found, o.layer, o.position) == (True, 3, 14)
    assert o.value == pytest.approx(0.4)
    assert "template token “assistant” (position 14) the logit lens at layer 3 already" in o.text
    assert "40 % to “Can”, a later token of the answer (rank 2; " in o.text
    assert "; after 6 placebo questions at most 2 %)." in o.text
    assert "1 of 30 layer × template-token cells passes the test" in o.text
    assert place(trace, 20).caption == "Rehearsal at template tokens (layer 3: 40 %; placebo 2 %)"


@pytest.mark.parametrize(
    ("p", "rank", "placebo"), [(0.04, 1, 1e-3), (0.06, 5, 1e-3), (0.4, 0, 0.041), (0.9, 0, 0.1)]
)
def test_rehearsal_that_misses_one_condition_is_said_to_be_none(p, rank, placebo):
    trace = _with_rehearsal(p, rank, placebo)
    o = observe_rehearsal(trace)
    assert not o.is_found
    assert o.text.startswith("No rehearsal found")
    assert o.value == pytest.approx(p)
    if p < 0.05:
        assert o.text.endswith("readable, it gives at most 4 % to a later token of the answer.")
    else:
        assert "after 6 placebo questions at most" in o.text
    assert place(trace, 20).caption.startswith("Template tokens: no rehearsal (at most")


def test_a_cell_that_passes_goes_before_a_likelier_one_that_does_not():
    trace = _with_rehearsal(0.06, 2)
    trace.dataset["rehearsal"].values[0, 0, 13] = np.log(0.3)
    trace.dataset["rehearsal_rank"].values[0, 0, 13] = 0
    trace.dataset["rehearsal_placebo"].values[0, 0, 13] = np.log(0.05)
    best = strongest_rehearsal(trace)
    assert (best.position, best.cells, best.is_found) == (14, 1, True)


def test_a_layer_whose_lens_cannot_be_read_has_no_rehearsal():
    assert observe_rehearsal(_with_rehearsal(0.4, 0)).is_found
    trace = _with_rehearsal(0.4, 0)
    trace.dataset["lens_kl"].values[0, 3] = 99.0
    o = observe_rehearsal(trace)
    assert not o.is_found
    assert o.layer != 3
    trace = _with_rehearsal(0.4, 0)
    trace.dataset["lens_kl"].values[:] = 99.0
    assert "not tested: the lens is readable in no layer" in observe_rehearsal(trace).text


def test_a_cell_without_a_placebo_does_not_pass():
    trace = _with_rehearsal(0.4, 0)
    trace.dataset["rehearsal_placebo"].values[0, 3, 14] = np.nan
    assert not observe_rehearsal(trace).is_found


def test_rehearsal_outside_the_template_tokens_does_not_count():
    assert not observe_rehearsal(_with_rehearsal(0.9, 0, position=10)).is_found


def test_ranks_that_people_read_count_from_one():
    text = observe_rehearsal(_with_rehearsal(0.4, 0)).text
    assert "(rank 1;" in text
    assert "rank 0" not in text


@pytest.mark.parametrize(
    ("names", "attrs", "why"),
    [(["rehearsal_placebo"], {"placebo": None}, "the trace has no placebo questions"),
     (["rehearsal_placebo"], {"placebo": {"why_not": "the model is away"}}, "the model is away"),
     (["lens_kl"], {}, "the trace does not show how far its lens can be read")],
)  # fmt: skip
def test_what_cannot_be_tested_is_said_with_its_reason(names, attrs, why):
    trace = _without(_with_rehearsal(0.9, 0), *names, **attrs)
    o = observe_rehearsal(trace)
    assert o.text.startswith(f"Rehearsal was not tested: {why}. The strongest candidate is")
    assert (o.is_found, o.value) == (False, None)
    assert place(trace, 20).caption == "Template tokens (rehearsal not tested)"


def test_what_was_not_measured_is_said_so():
    raw = observe_rehearsal(synthetic(["a", "b"], ["content"] * 2))
    assert "not measured: the prompt has no template token" in raw.text
    blank = synthetic()
    blank.dataset["rehearsal"].values[:] = np.nan
    assert "no content word that is not in the prompt" in observe_rehearsal(blank).text
    unread = synthetic()
    for name in ("lens_entropy", "rehearsal"):
        unread.dataset[name].values[0, :, 12:] = np.nan
    assert "did not read the template tokens" in observe_rehearsal(unread).text


def _compared(a, b):
    return next(o for o in compared.observe(compare(a, b)) if o.id == "rehearsal")


def test_a_comparison_has_both_numbers_of_both_sides():
    o = _compared(_with_rehearsal(0.4, 1, 0.02), _with_rehearsal(0.4, 1, 0.2))
    assert o.is_found
    assert "found in A (40 % for “Can”, rank 2, placebo at most 2 %, at" in o.text
    assert "not found in B (at most 40 % for “Can”, rank 2, placebo at most 20 %, at" in o.text


def test_a_side_that_was_not_tested_is_not_compared():
    a = _with_rehearsal(0.4, 1)
    o = _compared(a, _without(a, "rehearsal_placebo", placebo={}))
    assert o.text == (
        "Rehearsal was not compared: in B it was not tested (the trace has no placebo questions)."
    )
    assert (o.is_found, o.value) == (False, None)
    difference = compare(a, _without(a, "rehearsal_placebo", placebo={}))
    assert place(difference, 20).caption.endswith("B 40 % (not tested)")
