"""A browser that lacks something, or a part of the page that fails, takes nothing else along."""

import pytest

from embedded import SEEN
from refused import OVER, REFUSING, REMOVED, assert_figure, break_features, feature_names
from traces import synthetic

pytestmark = pytest.mark.browser


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
        page.wait_for_function(OVER, timeout=60_000, polling=50)
        return page, logged

    yield opened
    for context in contexts:
        context.close()


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


@pytest.mark.parametrize("part", ["#help", "#text", "#details", "#search", "#copy-figure", "#tip"])
def test_without_a_part_of_the_page_the_others_work(open_broken, part):
    """A host that rewrites the page may take parts away."""
    init = f"""new MutationObserver(() => document.querySelector('{part}')?.remove())
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


@pytest.mark.parametrize("seed", range(12))
def test_some_cases_of_the_fuzzer(open_broken, seed):
    """All of them: `python -m tests.browser.refused_fuzz`."""
    broken = break_features(seed)
    page, _ = open_broken("".join(broken.values()))
    assert_figure(page)


def test_the_features_are_those_that_the_script_uses(open_broken):
    page, _ = open_broken("")
    names = page.evaluate("(names) => names.filter((name) => name in window)", feature_names())
    assert {"ResizeObserver", "matchMedia", "history", "DecompressionStream"} <= set(names)
