"""A reader searches all texts of a long prompt and reads single positions at any zoom."""

import re

import numpy as np
import pytest

from attentropy.report.figures.sizes import wide
from long_traces import long

pytestmark = pytest.mark.browser

LENGTH = 131_072


@pytest.fixture(scope="module")
def lengthy():
    trace = long(LENGTH, layers=2, heads=1, read=600)
    text = trace.dataset["token_text"].values
    text[1000:1003] = [" The", " Capital", "\n\nof"]
    text[70_000:70_002] = ["the cap", "ital\n\nOf"]
    text[90_000] = "</script><b onclick=window.pwned=1>{{7*7}}"
    return trace


def test_a_long_prompt_is_searched_at_once_and_read_exactly_at_any_zoom(open_page, lengthy):
    opened = open_page(lengthy, fragment="#view=attention&a=60000&b=60012&col=500")
    page = opened.page
    page.fill("#search", "CAPITAL⏎⏎of")
    assert page.inner_text("#search-count") == "2 matches"
    page.focus("#search")
    opened.press("Enter")
    assert page.inner_text("#search-count") == "1 of 2"
    state = opened.state()
    assert int(state["a"]) <= 1001 == int(state["col"]) < int(state["b"])
    opened.press("Enter")
    assert opened.state()["col"] == "70000"
    opened.press("Enter")
    assert opened.state()["col"] == "1001"
    opened.press("Shift+Enter")
    assert opened.state()["col"] == "70000"
    page.click("#search-previous")
    assert opened.state()["col"] == "1001"

    page.fill("#search", "</script><b onclick=window.pwned=1>{{7*7}}")
    assert page.inner_text("#search-count") == "1 match"
    page.fill("#search", "[.*^$(")
    assert page.inner_text("#search-count") == "no matches"
    words = [str(text) for text in lengthy["token_text"]]
    matches = sum("w1" in text for text in words)
    page.fill("#search", "w1")
    assert page.inner_text("#search-count") == f"{matches:,} matches"

    # The whole prompt is shown: the tooltip has the pixel's exact position and the range drawn.
    opened.go(f"view=attention&a=0&b={LENGTH}&col=500")
    size, (left, top) = wide(2), opened.corner()
    page.mouse.move(left + size.left + 300, top + size.overview + size.above + 20)
    opened.quiet()
    tooltip = page.inner_text("#details")
    position = int(re.search(r"position ([\d,]+)", tooltip)[1].replace(",", ""))
    entropy = lengthy["entropy"][1, 0]
    assert (
        abs(float(re.search(r"attention entropy ([\d.]+)", tooltip)[1]) - entropy[position]) < 0.006
    )
    start, stop = (
        int(text.replace(",", ""))
        for text in re.search(r"this column: positions ([\d,]+) to ([\d,]+)", tooltip).groups()
    )
    assert start <= position <= stop
    part = entropy[start : stop + 1]
    numbers = re.search(r"mean ([\d.]+) nats, min ([\d.]+), max ([\d.]+)", tooltip).groups()
    wanted = [part.mean(), part.min(), part.max()]
    np.testing.assert_allclose([float(n) for n in numbers], wanted, atol=0.06)

    # A rectangle that is too large is coarsened evenly, with a note.
    page.click("#pin-section")
    card = page.locator(".pin").first.inner_text()
    block = -(-LENGTH // 12)
    assert f"each cell is the mean of {block:,} positions" in card
    row = opened.pinned(0)[1]
    assert row[0] == "1"
    for i, shown in enumerate(row[1:]):
        mean = entropy[i * block : (i + 1) * block].mean()
        assert abs(float(shown) - mean) < 0.02

    # A note says which weights the trace does not contain.
    page.click("#pin-weights")
    assert "The page has no exact weights of position 500" in page.inner_text("#pins-note")
    assert f"{LENGTH - 128:,}–{LENGTH - 1:,}" in page.inner_text("#pins-note")
    opened.assert_clean()


@pytest.mark.slow
def test_a_reduced_page_says_which_texts_are_not_searched(open_page, lengthy):
    open_page(lengthy, max_bytes=770_000).assert_clean()  # this page holds no texts at all
    opened = open_page(lengthy, max_bytes=860_000)
    opened.page.fill("#search", "w1")
    message = opened.page.inner_text("#search-count")
    missing = int(re.search(r"([\d,]+) tokens not searched", message)[1].replace(",", ""))
    assert LENGTH // 2 < missing < LENGTH
    opened.page.click("#pin-section")
    opened.quiet()
    opened.assert_clean()
