"""An address that cannot be shown falls back to the nearest state, and one line says so."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "report"))

from address_fuzz import ASKED, PAGES, PASTE, SHOWN, failure
from addresses import address

from hybrids import hybrid, smallest
from long_traces import long
from traces import synthetic

pytestmark = pytest.mark.browser
START = "This page cannot show all that its address asks for: "


@pytest.fixture(scope="module")
def trace():
    return synthetic()


def _note(opened):
    opened.quiet()
    note = opened.page.locator("#address-note")
    return note.inner_text().translate({0x2068: None, 0x2069: None}) if note.is_visible() else ""


@pytest.mark.parametrize(
    ("fragment", "field", "words"),
    [
        ("layer=99", ("layer", "5"), "“layer=99” (possible: 0 to 5; shown: 5)"),
        ("head=-7", ("head", "-1"), "“head=-7” (possible: -1 to 2; shown: -1)"),
        ("col=" + "9" * 40, ("col", "16"), "possible: 0 to 16; shown: 16)"),
        ("a=NaN&b=9", ("b", "9"), "“a=NaN” (possible: 0 to 16; shown: "),
        ("a=12&b=3", ("b", "13"), "“b=3” (possible: 13 to 17; shown: 13)"),
        ("row=5&view=attention&rows=heads", ("row", "2"), "“row=5” (possible: 0 to 2; shown: 2)"),
        ("view=graph", ("view", "lens"), "“view=graph” (possible: lens, attention; shown: lens)"),
        ("stat=max_prob", ("stat", "entropy"), "possible: entropy, lens_kl, probability"),
        ("site=mlp", ("site", "residual"), "“site=mlp” (possible: residual; shown: residual)"),
        ("view=lens&norm=1", ("view", "lens"), "“norm” (not a setting of this page)"),
        ("view=lens&__proto__=x", ("view", "lens"), "“__proto__” (not a setting of this page)"),
        ("rows=constructor", ("rows", "layers"), "“rows=constructor” (possible: layers, heads"),
        ("view=%zz%E0%80", ("view", "lens"), "(possible: lens, attention; shown: lens)"),
        ("view=attention&view=lens", ("view", "attention"), "given more than once"),
        ("pin=c,3,lens.layers.0.-1;c,99,lens.layers.0.-1", ("view", "lens"), "(no such cells)"),
        ("pin=c,3,lens.layers.0.-1;c,3,lens.layers.0.-1", ("view", "lens"), "(given twice)"),
        ("find=" + "x" * 101, ("find", "x" * 100), "“find” (possible: 100 characters)"),
        ("mapHead=3", ("mapHead", "2"), "“mapHead=3” (possible: -1 to 2; shown: 2)"),
        ("q0=3", ("view", "lens"), "“q0” (not a setting of this page)"),
        ("section-nowhere", ("view", "lens"), "“#section-nowhere” (no such part of this page)"),
        ("view=\u3164\u2800", ("view", "lens"), "“view=␣␣”"),
    ],
)  # fmt: skip
def test_what_an_address_asks_in_vain_is_said_and_the_nearest_is_shown(
    open_page, trace, fragment, field, words
):
    opened = open_page(trace, fragment=f"#{fragment}", fresh=False)
    note = _note(opened)
    assert note.startswith(START)
    assert words in note
    name, value = field
    assert opened.state()[name] == value
    opened.assert_clean()


@pytest.mark.parametrize(
    "fragment",
    ["view=attention&rows=heads&layer=2&row=1", "section-map", "layer=03&col=5", "find=%20of"],
)
def test_of_an_address_that_is_shown_nothing_is_said(open_page, trace, fragment):
    opened = open_page(trace, fragment=f"#{fragment}", fresh=False)
    assert _note(opened) == ""
    opened.assert_clean()


def test_the_line_is_there_until_the_reader_changes_something(open_page, trace):
    opened = open_page(trace, fragment="#layer=99")
    assert _note(opened)
    opened.page.set_viewport_size({"width": 1200, "height": 900})
    assert _note(opened)
    opened.page.click("[data-view=attention]")
    assert _note(opened) == ""
    opened.go("col=99")
    assert _note(opened)
    opened.page.click("#reset")
    assert _note(opened) == ""
    assert opened.address() == ""
    opened.assert_clean()


def test_back_and_forward_show_what_each_address_showed(open_page, trace):
    opened = open_page(trace)
    page = opened.page
    first, opening = opened.address(), opened.details()
    opened.go("view=attention&col=5")
    second = opened.address()
    opened.go("view=attention&col=77")
    third = opened.address()
    assert "col=16" in third
    assert _note(opened)
    for go, wanted in ((page.go_back, second), (page.go_back, first), (page.go_forward, second)):
        go()
        opened.quiet()
        assert opened.address() == wanted
        assert _note(opened) == ""
    opened.go("")
    assert opened.address() == ""
    assert opened.details() == opening
    opened.assert_clean()


def test_many_failures_are_one_line(open_page, trace):
    opened = open_page(trace, fragment="#a=x&b=x&col=x&row=x&layer=x", fresh=False)
    assert _note(opened).endswith("; and 2 more.")
    height = opened.page.locator("#address-note").bounding_box()["height"]
    assert height < 80
    opened.assert_clean()


def test_a_link_of_another_page_is_read_as_far_as_it_goes(open_page):
    long_page = open_page(long(3000, layers=4, heads=4, read=300, window=32))
    fragment = long_page.address()
    opened = open_page(smallest(), fragment=f"#{fragment}")
    note = _note(opened)
    assert START in note
    assert opened.state()["view"] == "attention"
    opened.assert_clean()


@pytest.mark.parametrize("fragment", ["mapHead=7&mapWindow=9&q0=2000&q1=5", "q0=5&q1=9&k0=0&k1=4"])
def test_the_map_of_a_long_prompt_checks_its_own_fields(open_page, fragment):
    trace = long(3000, layers=4, heads=4, read=300, window=32)
    opened = open_page(trace, fragment=f"#{fragment}", fresh=False)
    state = opened.state()
    assert int(state["q0"]) < int(state["q1"]) <= 3000
    assert (_note(opened) == "") == fragment.startswith("q0")
    assert state["mapWindow"] == "0"
    opened.assert_clean()


@pytest.mark.costly
@pytest.mark.parametrize("name", list(PAGES))
def test_a_sample_of_the_fuzzed_addresses(open_page, name):
    opened = open_page(PAGES[name]())
    own = opened.address()
    opened.page.evaluate(SHOWN)
    wrong, notes = {}, 0
    for number in range(60):
        result = opened.page.evaluate(PASTE, address(number, own))
        notes += bool(result["note"])
        if problem := failure(result, opened.errors):
            wrong[number] = problem
    assert wrong == {}
    assert 10 < notes < 55
    assert opened.page.evaluate(ASKED, "a b") == "a%20b"
    opened.assert_clean()


def test_heads_of_a_layer_without_attention_open_with_its_reason(open_page):
    opened = open_page(hybrid(), fragment="#view=attention&rows=heads&layer=1")
    assert _note(opened) == ""  # it is what the address asks for
    assert "layer 1: not applicable" in opened.page.inner_text("#caption")
    opened.page.evaluate(SHOWN)
    assert opened.page.evaluate("shownHere().colours") > 5
    opened.assert_clean()
