"""A layer without attention says so wherever it can be selected."""

import pytest

from hybrids import MAMBA, hybrid

pytestmark = pytest.mark.browser
WHY = f"layer 1: {MAMBA}"
NO_HEAD = "layer 2 has 2 heads, so it has no head 2"


@pytest.fixture(scope="module")
def trace():
    return hybrid()


def _words(opened, element):
    opened.quiet()
    return opened.page.inner_text(element)


def test_the_keys_lead_to_the_reason_and_on_from_it(open_page, trace):
    opened = open_page(trace, fragment="#view=attention&row=0&col=10")
    opened.page.focus("#figure")
    for _ in range(2):
        for element in ("#details", "#caption", "#live"):
            assert MAMBA not in _words(opened, element)
        opened.press("ArrowUp")
        for element in ("#details", "#caption", "#live"):
            assert WHY in _words(opened, element)
        assert "Attends to" not in _words(opened, "#details")
        assert "0.00" not in _words(opened, "#details-value")
        opened.press("ArrowDown")
    opened.press("]")
    assert WHY in _words(opened, "#details")
    opened.assert_clean()


def test_the_heads_of_such_a_layer_are_one_empty_row_with_the_reason(open_page, trace):
    opened = open_page(trace, fragment="#view=attention&rows=heads&layer=0&row=2", fresh=False)
    page = opened.page
    page.select_option("#layer", "1")
    opened.quiet()
    assert WHY in _words(opened, "#caption")
    assert WHY in _words(opened, "#details")
    state = opened.state()
    assert (state["rows"], state["layer"]) == ("heads", "1")
    page.focus("#figure")
    opened.press("ArrowUp", "ArrowDown", "ArrowLeft", "Home", "End", "+", "-")
    assert WHY in _words(opened, "#live")
    opened.press("]")
    assert MAMBA not in _words(opened, "#caption")
    opened.press("[", "[")
    assert opened.state()["layer"] == "0"
    opened.assert_clean()


def test_a_head_that_a_layer_does_not_have_is_said(open_page, trace):
    opened = open_page(trace, fragment="#view=attention&head=2&row=2&col=9", fresh=False)
    for element in ("#details", "#caption", "#live"):
        assert NO_HEAD in _words(opened, element)
    assert "head 2" in _words(opened, "#details")
    opened.assert_clean()


def test_pins_say_the_reason(open_page, trace):
    opened = open_page(trace, fragment="#view=attention&row=1&col=10", fresh=False)
    opened.page.click("#pin-weights")
    assert f"Nothing to show for {WHY}." in _words(opened, "#pins")
    opened.page.click("#pin-column")
    opened.page.click("#pin-section")
    cards = _words(opened, "#pins-cards")
    assert "NaN" not in cards
    assert "–" in cards
    opened.assert_clean()


def test_the_map_says_the_reason_and_takes_it_back(open_page, trace):
    opened = open_page(trace, fragment="#view=attention&row=0&col=10", height=4000)
    page = opened.page
    assert _words(opened, "#map-missing") == ""
    page.select_option("#map-layer", "1")
    assert _words(opened, "#map-missing") == f"Nothing to show for {WHY}."
    page.select_option("#map-values", "entropy")
    assert _words(opened, "#map-missing") == f"Nothing to show for {WHY}."
    page.select_option("#map-layer", "2")
    assert _words(opened, "#map-missing") == ""
    page.select_option("#map-head", "2")
    assert NO_HEAD in _words(opened, "#map-missing")
    opened.assert_clean()


def test_search_and_links_show_their_place_in_such_a_layer(open_page, trace):
    opened = open_page(trace, fragment="#view=attention&row=1&find=capital")
    page = opened.page
    page.focus("#search")
    opened.press("Enter")
    assert opened.state()["col"] == "8"
    assert WHY in _words(opened, "#details")
    for link in page.locator("[data-finding]").all():
        link.evaluate("(link) => link.click()")
        opened.quiet()
        assert opened.page.inner_text("#details-value")
    opened.assert_clean()
