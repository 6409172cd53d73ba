"""A page made of hostile strings, opened in a browser: it runs nothing, and everything works."""

import numpy as np
import pytest

from attentropy.engine.trace.text import text_array
from attentropy.report.compare.difference import compare
from attentropy.report.figures.sizes import narrow, wide
from attentropy.report.findings.compared import observe
from attentropy.report.read.characters import character_starts
from attentropy.report.text import for_prompt, mark_whitespace
from hostile import HOSTILE_NAMES, STRINGS, hostile_pair, hostile_trace
from reading import READ
from traces import synthetic

pytestmark = pytest.mark.browser

# Elements and attributes that a report never contains.
OWN = (
    "[...document.querySelectorAll('iframe, object, embed, form:not(.vega-bindings), base, '"
    " + 'link, [onerror], [onload], [onclick], [onfocus], [ontoggle], [onmouseover]')]"
    ".map((element) => element.outerHTML)"
)


@pytest.fixture(scope="module")
def compared():
    of = compare(*hostile_pair(), HOSTILE_NAMES)
    return of, observe(of)


def _hover(opened, left, width, y):
    """Assert that tooltips in a row of the section name a position and hold only finite numbers."""
    for share in (0.1, 0.5, 0.9):
        opened.page.mouse.move(left + share * width, y)
        opened.quiet()
        tip = opened.page.inner_text("#details")
        assert "position" in tip
        assert "NaN" not in tip
        assert "Infinity" not in tip


def test_a_page_of_hostile_strings_runs_none_of_them_and_works(open_page):
    opened = open_page(hostile_trace())
    page = opened.page
    page.click("#text-expand")
    opened.quiet()
    read = page.evaluate(READ)
    tokens = [str(text) for text in text_array(STRINGS)]
    shown = {int(at): text.lstrip(" ") for at, text in read["tokens"].items()}
    in_chips = {i for start, stop in read["chips"] for i in range(start, stop)}
    starts = np.flatnonzero(character_starts(hostile_trace())).tolist()
    assert sorted(shown | dict.fromkeys(in_chips)) == starts
    for at, text in shown.items():
        assert text == (for_prompt(tokens[at]).lstrip(" ") or "·" * (not tokens[at]))
    page.click("#text-expand")
    opened.quiet()

    page.focus("#figure")
    before = opened.address()
    announcements = set()
    for key in ("ArrowLeft", "ArrowLeft", "ArrowUp", "+", "ArrowLeft", "ArrowDown", "-"):
        page.keyboard.press(key)
        opened.quiet()
        announcements.add(page.inner_text("#live"))
    assert opened.address() != before
    assert len(announcements) > 3
    page.locator("#canvas canvas").scroll_into_view_if_needed()
    (left, top), size = opened.corner(), wide(2)
    y = top + size.overview + size.above + size.height / 3
    for view in ("attention", "lens"):
        page.click(f"[data-view={view}]")
        opened.quiet()
        _hover(opened, left + size.left, size.section, y)
        page.mouse.click(left + size.left + 0.5 * size.section, y)
        opened.quiet()
    page.evaluate("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
    for span in page.locator(".tokens .t:visible").all()[:40:5]:
        span.hover(force=True)

    assert page.evaluate("window.pwned") is None
    assert opened.dialogs == []
    assert page.evaluate(OWN) == []
    assert page.evaluate("[...document.images].every((i) => i.naturalWidth > 0)")
    opened.assert_clean()


@pytest.mark.parametrize("width", [pytest.param(1440, marks=pytest.mark.slow), 420])
def test_a_comparison_of_hostile_strings_runs_none_of_them_and_fits(open_page, compared, width):
    of, observations = compared
    opened = open_page(of, observations=observations, width=width)
    page = opened.page
    tokens = [str(text) for text in text_array(STRINGS)]
    for element in ("span", "del", "ins"):
        shown = page.evaluate(
            f"[...document.querySelectorAll('.tokens {element}')].map((e) => e.textContent)"
        )
        assert shown == [for_prompt(t) if t.strip() else mark_whitespace(t) for t in tokens]

    page.focus("#figure")
    announcements = set()
    for key in ("ArrowLeft", "ArrowLeft", "ArrowDown", "+", "ArrowLeft"):
        page.keyboard.press(key)
        opened.quiet()
        announcements.add(page.inner_text("#live"))
    assert len(announcements) > 2
    size = (wide if width > 760 else narrow)(2)
    for view in ("attention", "lens"):
        page.click(f"[data-view={view}]")
        page.locator("#canvas canvas").scroll_into_view_if_needed()
        opened.quiet()
        left, top = opened.corner()
        y = top + size.overview + size.above + size.height / 3
        _hover(opened, left + size.left, size.section, y)
    page.evaluate("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
    opened.quiet()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    wider = page.evaluate(
        "[...document.querySelectorAll('main > *, main section, header *, .tokens, .which')]"
        ".filter((e) => e.getBoundingClientRect().right > innerWidth + 1)"
        ".map((e) => e.outerHTML.slice(0, 90))"
    )
    assert wider == []

    assert page.evaluate("window.pwned") is None
    assert opened.dialogs == []
    assert page.evaluate(OWN) == []
    assert page.evaluate("[...document.images].every((i) => i.naturalWidth > 0)")
    opened.assert_clean()


def test_text_from_right_to_left_leaves_its_neighbours_where_they_are(open_page):
    tokens = ["one", " מרחבא", " two", "\u202ethree", " four", " ﷺ", " five"]
    page = open_page(synthetic(tokens, ["content"] * 7, layers=2, heads=1, window=False)).page
    lefts = page.evaluate(
        "[...document.querySelectorAll('.tokens .t')].map((s) => s.getBoundingClientRect().left)"
    )
    assert lefts == sorted(lefts)
