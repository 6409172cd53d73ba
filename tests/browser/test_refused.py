"""A browser that lacks something, or a part of the page that fails, takes nothing else along."""

import re

import pytest

from attentropy.report.page.modules import code_only, join, load
from attentropy.report.page.program import ENTRY, script
from embedded import SEEN
from traces import synthetic

pytestmark = pytest.mark.browser

# What ECMAScript itself has: a page without it is a page without scripts.
_LANGUAGE = {
    "Array", "Boolean", "Date", "Error", "Float32Array", "Float64Array", "Infinity", "Int16Array",
    "Int32Array", "Int8Array", "JSON", "Map", "Math", "NaN", "Number", "Object", "Promise",
    "RegExp", "Set", "String", "Uint16Array", "Uint32Array", "Uint8Array", "WeakMap", "undefined",
    "document", "window", "console", "name", "status", "event", "top", "length", "parent", "self",
}  # fmt: skip
REMOVED = "delete window[%(name)r]; Object.defineProperty(window, %(name)r, { value: undefined });"
REFUSING = """Object.defineProperty(window, %(name)r, {
  get() { throw new DOMException('The operation is insecure.', 'SecurityError'); } });"""


def browser_names():
    """Return the names in the page's own code that may be a browser's."""
    code = code_only(join(load(ENTRY, script)))
    return sorted(set(re.findall(r"(?<![\w$.])[A-Za-z]\w+(?![\w$]|\s*:)", code)) - _LANGUAGE)


@pytest.fixture
def open_broken(chromium, written):
    """Open a page after `init` ran: `open_broken(init)` returns the page and what it logged."""
    contexts = []

    def opened(init, **options):
        context = chromium.new_context(viewport={"width": 1440, "height": 900})
        contexts.append(context)
        page, logged = context.new_page(), []
        page.on("console", lambda message: logged.append(message.text))
        page.on("pageerror", lambda error: logged.append(str(error)))
        page.add_init_script(init)
        page.goto(written(synthetic(), **options).as_uri())
        page.wait_for_function(_OVER, timeout=60_000, polling=50)
        return page, logged

    yield opened
    for context in contexts:
        context.close()


# The page's start is over, well or not. As a function, because a string would be evaluated.
_OVER = """() => document.documentElement.classList.contains('whole')
  || (document.adoptedStyleSheets.length === 0 && document.readyState === 'complete')"""


def assert_figure(page):
    """Assert that each chart is seen once, and that a page that stays still says why."""
    seen = page.evaluate(SEEN)
    for picture in seen["pictures"]:
        assert picture["still"] + picture["live"] == 1, seen
    is_live = "live" in seen["state"] and page.evaluate("document.adoptedStyleSheets.length > 0")
    assert (
        is_live or "could not start here (" in seen["notice"] or "Scripts do not" in seen["notice"]
    )
    assert is_live or seen["controls"] == 0
    assert is_live == (seen["pictures"][0]["live"] == 1)
    return is_live


@pytest.mark.parametrize(
    ("init", "is_live"),
    [
        ("history.replaceState = () => { throw new DOMException('no', 'SecurityError'); };", True),
        (REFUSING % {"name": "localStorage"} + REFUSING % {"name": "sessionStorage"}, True),
        (REMOVED % {"name": "ResizeObserver"} + REMOVED % {"name": "IntersectionObserver"}, True),
        (REFUSING % {"name": "matchMedia"}, True),
        ("HTMLDialogElement.prototype.showModal = undefined; delete navigator.clipboard;", True),
        (REMOVED % {"name": "DecompressionStream"}, False),
        (REFUSING % {"name": "Blob"}, False),
        ("HTMLCanvasElement.prototype.getContext = () => null;", False),
        ("Response.prototype.text = () => Promise.reject(new Error('torn'));", False),
        (REMOVED % {"name": "CSSStyleSheet"}, False),
    ],
)
def test_without_a_feature_the_page_does_without_or_stays_still(open_broken, init, is_live):
    page, _ = open_broken(init)
    assert assert_figure(page) == is_live


def test_a_chart_that_fails_leaves_its_still_picture_and_the_others(open_broken):
    """The attention map's canvas has another size than all others."""
    init = """const draw = CanvasRenderingContext2D.prototype.putImageData;
      CanvasRenderingContext2D.prototype.putImageData = function (pixels, ...rest) {
        if (this.canvas.width === this.canvas.height) throw new Error('no map today');
        return draw.call(this, pixels, ...rest);
      };"""
    page, logged = open_broken(init)
    page.locator("#section-map").scroll_into_view_if_needed()
    while not any("no map today" in line for line in logged):
        page.wait_for_timeout(50)
    assert assert_figure(page)
    assert page.locator("#map").evaluate("(map) => map.childElementCount") == 0
    live = page.evaluate(SEEN)["pictures"]
    assert {picture["live"] for picture in live} == {0, 1}


@pytest.mark.parametrize("gone", ["#help", "#text", "#details", "#search", "#copy-figure", "#tip"])
def test_without_a_part_of_the_page_the_others_work(open_broken, gone):
    """A host that rewrites the page may take parts away."""
    init = f"""new MutationObserver(() => document.querySelector('{gone}')?.remove())
      .observe(document, {{ childList: true, subtree: true }});"""
    page, _ = open_broken(init)
    assert assert_figure(page)
    page.focus("#figure")
    before = page.evaluate("location.hash")
    page.keyboard.press("ArrowLeft")
    page.wait_for_function("(before) => location.hash !== before", arg=before)


def test_where_the_address_is_refused_the_state_is_not_and_print_follows_it(open_broken):
    page, logged = open_broken("history.replaceState = () => { throw new Error('no'); };")
    caption = page.inner_text("#caption")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("html.as-opened").count() == 1
    page.click("[data-view=attention]")
    assert page.inner_text("#caption") != caption
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("html.as-opened").count() == 0
    page.click("#reset")
    assert page.inner_text("#caption") == caption
    page.click("[data-view=attention]")
    page.evaluate("location.hash = '#view=lens&a=2&b=9'")
    page.wait_for_function("() => document.querySelector('[data-view=lens][aria-pressed=true]')")
    assert logged == []
