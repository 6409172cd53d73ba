"""With the reader's own high-contrast colours, colours that are values stay, and all is legible."""

import numpy as np
import pytest

from attentropy.report.compare.difference import compare
from attentropy.report.findings.compared import observe
from hybrids import hybrid
from traces import synthetic

pytestmark = pytest.mark.browser

COLOURS = """(selector) => [...document.querySelectorAll(selector)].map((e) => {
  const { backgroundColor, color, outlineStyle, borderColor } = getComputedStyle(e);
  return { backgroundColor, color, outlineStyle, borderColor };
})"""
SYSTEM = """(name) => {
  const probe = document.createElement("i");
  probe.style.cssText = `forced-color-adjust: none; color: ${name}`;
  document.body.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}"""


@pytest.fixture(params=["light", "dark"])
def forced(request, open_page):
    """Open a page in high contrast, light or dark; return it before and after."""

    def opened(trace, **options):
        own = open_page(trace, dark=request.param == "dark", **options)
        own.quiet()
        return own

    return opened


def _force(opened, value="active"):
    opened.page.emulate_media(forced_colors=value)
    opened.quiet()


def test_the_tokens_of_the_prompt_keep_their_colours(forced):
    opened = forced(synthetic())
    before = opened.page.evaluate(COLOURS, ".t")
    assert len({own["backgroundColor"] for own in before}) > 3
    _force(opened)
    after = opened.page.evaluate(COLOURS, ".t")
    for own, other in zip(before, after, strict=True):
        if own["backgroundColor"] != "rgba(0, 0, 0, 0)":
            assert own["backgroundColor"] == other["backgroundColor"]
            assert own["color"] == other["color"]
    _force(opened, "none")
    opened.assert_clean()


def test_the_tokens_of_a_comparison_keep_their_colours(forced):
    of = compare(synthetic(seed=1), synthetic(seed=2), ("a", "b"))
    opened = forced(of, observations=observe(of))
    before = opened.page.evaluate(COLOURS, ".columns span")
    _force(opened)
    after = opened.page.evaluate(COLOURS, ".columns span")
    assert [own["backgroundColor"] for own in before] == [own["backgroundColor"] for own in after]
    _force(opened, "none")


def test_what_is_selected_and_focused_can_be_told_from_the_rest(forced):
    opened = forced(synthetic())
    page = opened.page
    _force(opened)
    highlight, canvas = page.evaluate(SYSTEM, "Highlight"), page.evaluate(SYSTEM, "Canvas")
    pressed = page.evaluate(COLOURS, ".tabs [aria-pressed=true]")
    others = page.evaluate(COLOURS, ".tabs [aria-pressed=false]")
    assert {own["backgroundColor"] for own in pressed} == {highlight}
    assert highlight not in {own["backgroundColor"] for own in others}
    assert highlight != canvas
    marked = page.evaluate(COLOURS, "nav.sections [aria-current]")
    assert [own["backgroundColor"] for own in marked] == [highlight] * len(marked)
    page.focus("#reset")
    opened.press("Tab")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.fill("#search", "capital")
    opened.quiet()
    assert {own["outlineStyle"] for own in page.evaluate(COLOURS, ".t.hit")} == {"solid"}
    _force(opened, "none")


def test_pins_details_and_grid_keep_what_their_colours_say(forced):
    opened = forced(hybrid(), fragment="#pin=c,5,lens.layers.0.-1&view=attention&row=0")
    page = opened.page
    before = page.evaluate(COLOURS, ".pin td")
    _force(opened)
    after = page.evaluate(COLOURS, ".pin td")
    assert len(before) > 3
    assert [own["backgroundColor"] for own in before] == [own["backgroundColor"] for own in after]
    rows = page.evaluate(COLOURS, ".details .rows")[0]
    ink, ground = (_numbers(rows[name]) for name in ("color", "backgroundColor"))
    assert np.abs(ink - ground).max() > 150
    # The canvas below the texts has the same ground.
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    _force(opened, "none")


def _numbers(colour):
    return np.array([float(part) for part in colour[colour.index("(") + 1 : -1].split(",")[:3]])
