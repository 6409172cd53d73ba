"""A page never exceeds its maximum size, and says what it left out."""

import json
import re

import numpy as np
import pytest

from attentropy.engine.errors import UsageError
from attentropy.report.findings.single import observe
from attentropy.report.pack.budget import Budget, size
from attentropy.report.page.page import render
from attentropy.report.read.maps import pool_tiles
from long_traces import long

pytestmark = pytest.mark.costly


def test_the_first_way_that_fits_is_bought_and_paid():
    budget = Budget(100)
    ways = [lambda: {"a": "x" * 90}, lambda: None, lambda: {"a": "x" * 20}]
    assert budget.first(ways, 0.5) == {"a": "x" * 20}
    assert budget.left == 100 - size({"a": "x" * 20})
    assert budget.first([lambda: {"a": "x" * 90}]) is None


@pytest.fixture(scope="module")
def trace():
    return long(24_000, layers=6, heads=3, read=600)


@pytest.fixture(scope="module")
def page(trace):
    """Return the page of 3 MB without findings."""
    return render(trace, [], max_bytes=3_000_000)


def _payload(page, name="report"):
    return json.loads(re.search(f'id="{name}">(.*?)</script>', page, re.S)[1])


@pytest.mark.usefixtures("converted_again")
@pytest.mark.parametrize("most", [1_000_000, pytest.param(3_000_000, marks=pytest.mark.slow)])
def test_a_long_page_keeps_its_budget_and_the_same_bytes(trace, most):
    findings = observe(trace)
    page = render(trace, findings, max_bytes=most)
    assert most * 0.5 < len(page.encode()) <= most
    assert page == render(trace, findings, max_bytes=most)


def test_a_reduced_page_says_how_and_how_exactly(trace):
    page = render(trace, observe(trace), max_bytes=1_000_000)
    sentence = re.search(r'<p class="hint reduced">(.*?)</p>', page)[1]
    assert "24,000 positions into 1\N{NO-BREAK SPACE}MB" in sentence
    assert "the mean (or minimum or maximum, as chosen) of 16 or 128 positions." in sentence
    # One error per kind of value, the greatest.
    rounding = re.search(r"Rounding: (.*?)\.( |$)", re.sub(r"<[^>]*>", "", sentence))[1]
    stated = re.findall(r"entropies ±(\S+)\N{NO-BREAK SPACE}nats", rounding)
    packed = _payload(page)["packed"] | _payload(page, "later")["packed"]
    kinds = ("Tiles", "Whole", "Part")
    errors = [packed[name]["error"] for name in packed if name.endswith(kinds)]
    assert len(stated) == 1
    assert max(errors) <= float(stated[0]) < 2 * max(errors)
    assert "23,0" in sentence or "23,9" in sentence


def test_a_page_without_single_positions_says_so(trace):
    page = render(trace, observe(trace), max_bytes=900_000)
    assert _payload(page)["ranges"] == []
    assert "Full resolution at no position: all other values." in page


def test_a_section_that_was_asked_for_is_held_and_opens(trace):
    page = render(trace, [], max_bytes=900_000, sections=[(5000, 5100)])
    payload = _payload(page)
    assert any(a <= 5000 and b >= 5100 for a, b in payload["ranges"])
    assert (payload["placement"]["start"], payload["placement"]["stop"]) == (5000, 5100)
    with pytest.raises(UsageError, match="`sections`"):
        render(trace, [], max_bytes=900_000, sections=[(0, 24_000)])


def test_a_budget_for_less_than_the_frame_is_refused_in_one_line(trace):
    with pytest.raises(UsageError, match="`max_bytes` must be larger than"):
        render(trace, [], max_bytes=200_000)


def test_a_long_prompt_is_folded_and_never_a_span_for_each_token(page):
    assert 1_500_000 < len(page.encode()) <= 3_000_000
    assert page.count("<span class=") < 1100
    assert "… 23,500 tokens more can be read where scripts run …" in page


def test_a_short_page_holds_everything(plain_page):
    payload = _payload(plain_page)
    assert payload["steps"] == {}
    assert payload["ranges"] == [[0, 17]]
    assert not payload["later"]


def test_a_pooled_maps_rows_still_sum_to_one():
    trace = long(5000, layers=2, heads=2, read=100, tile=64)
    for pool in (1, 2, 4, 8):
        np.testing.assert_allclose(pool_tiles(trace, 1, pool).sum(-1), 1, atol=1e-5)


def test_what_a_long_trace_does_not_hold_is_said_to_be_missing(trace):
    names = [name for name in trace.dataset if str(name).startswith(("map", "head_", "received"))]
    bare = type(trace)(trace.dataset.drop_vars(names))
    page = render(bare, [], max_bytes=2_000_000)
    assert "record it with `map_tile`" in page
    assert "record them with `scores=True`" in page
    assert 'id="map-figure"' not in page
    assert 'id="roster"' not in page


def test_an_unfinished_run_says_how_far_it_got(trace, page):
    state = {"tokens": 24_000, "done": 9000, "chunks": 3, "reason": "killed <b>"}
    part = type(trace)(trace.dataset.assign_attrs(partial=state))
    unfinished = render(part, [], max_bytes=900_000)
    assert "9,000 of 24,000 tokens" in unfinished
    assert "(killed &lt;b&gt;)" in unfinished
    assert _payload(unfinished)["partial"]["done"] == 9000
    assert 'class="banner"' in unfinished
    assert 'class="banner"' not in page
