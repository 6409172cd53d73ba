"""A page that is embedded, saved or under a foreign policy shows its figure, or says why not."""

import html
import io
import re
import time

import numpy as np
import pytest
from PIL import Image

from attentropy.report.compare.difference import compare
from attentropy.report.findings.compared import observe
from bench_pages import save_bench_page
from embedded import REFUSED, SEEN, STILL, UNSTYLED, WAYS, serving
from traces import profiled, synthetic

pytestmark = pytest.mark.browser

COLOURS = 40  # that a drawn figure has at least


@pytest.fixture(scope="module")
def server():
    with serving() as own:
        yield own


@pytest.fixture(scope="module")
def pages(written, tmp_path_factory):
    """Return a function that writes the page of a kind, and returns its file."""

    def file(kind):
        if kind == "bench":
            return save_bench_page(tmp_path_factory.mktemp("bench"), "flash")
        if kind == "comparison":
            of = compare(synthetic(seed=1), synthetic(seed=2))
            return written(of, observe(of))
        return written(profiled() if kind == "profile" else synthetic())

    return file


@pytest.fixture
def show(chromium, server, pages):
    """Show a page in one of the ways: `show(kind, way)` returns the frame that has it."""
    contexts = []

    def shown(kind, way, *, width=1440, dark=False, change=None, init="", wait=True):
        file = pages(kind)
        text = file.read_text("utf-8")
        for old, new in (change or {}).items():
            assert old in text
            text = text.replace(old, new)
        server.text = text
        context = chromium.new_context(
            viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light"
        )
        contexts.append(context)
        page = context.new_page()
        page.add_init_script(init)
        if way in ("copy", "mhtml"):
            page.goto(_saved(page, file, way, file.parent / f"{file.stem}.{way}"))
        else:
            page.goto(file.as_uri() if way == "file" else f"{server.address}{way}")
        if way in ("closed tab", "no height"):
            time.sleep(0.5)
            page.evaluate("show()")
        frame = page.frames[-1]
        frame.wait_for_load_state()
        if kind != "bench" and way not in STILL | {"mhtml"} and wait:
            frame.wait_for_selector("html.whole", state="attached", timeout=60_000)
        return frame

    yield shown
    for context in contexts:
        context.close()


def _saved(page, file, way, target):
    """Save the live page in a state that it did not open with, and return the copy's address."""
    page.goto(file.as_uri())
    if page.locator("#program").count():
        page.wait_for_selector("html.whole")
        page.locator("#palette").select_option("cividis")
        for view in page.locator("[data-view]").all()[-1:]:
            view.click()
        page.keyboard.press("i")
        page.evaluate("scrollTo(0, document.body.scrollHeight)")
        page.wait_for_timeout(300)
    if way == "mhtml":
        archive = page.context.new_cdp_session(page).send("Page.captureSnapshot")
        target = target.with_suffix(".mhtml")
        target.write_text(archive["data"], "utf-8", newline="")
    else:
        copied = page.evaluate("document.documentElement.outerHTML")
        target = target.with_suffix(".copy.html")
        target.write_text(f"<!doctype html>{copied}", "utf-8")
    return target.as_uri()


def _colours(frame, selector):
    """Return the number of colours on the screen where an element is."""
    place = frame.locator(selector).first
    place.scroll_into_view_if_needed()
    image = Image.open(io.BytesIO(place.screenshot())).convert("RGB")
    return len(np.unique(np.asarray(image).reshape(-1, 3), axis=0))


FIGURES = {"trace": "#figure", "comparison": "#figure", "profile": ".profile", "bench": ".figure"}


def _assert_shown(frame, kind, way):
    """Assert that the page shows each picture once, or says why it cannot, and no dead control."""
    view = frame.evaluate(SEEN)
    is_still = kind == "bench" or way in STILL | {"mhtml"}
    for picture in view["pictures"]:
        assert picture["still"] + picture["live"] == 1, picture
        if picture["isFirst"] and kind in ("trace", "comparison"):
            assert (picture["still"] == 1) == is_still
    if is_still:
        assert view["controls"] == 0
        assert view["hints"] == []
        if kind != "bench":
            assert "Scripts do not run here" in view["notice"]
    if way in REFUSED:
        assert is_still or "forbids pictures" in view["notice"] or view["broken"] == 0
        assert kind != "bench" or way not in UNSTYLED or "forbids them" in view["notice"]
    elif not is_still or kind == "bench":
        assert view["broken"] == 0
        assert way in UNSTYLED | {"no styles"} or view["notice"] == ""
    assert view["width"] <= 0 or way in UNSTYLED
    is_drawn = way not in REFUSED or (not is_still and kind != "profile")
    if is_drawn:
        assert _colours(frame, FIGURES[kind]) > COLOURS


@pytest.mark.parametrize("way", [*WAYS, "mhtml"])
def test_a_traces_page_shows_its_figure_or_says_why_not(show, way):
    _assert_shown(show("trace", way), "trace", way)


_SOME = ("srcdoc", "mhtml", "neither", "jenkins")


@pytest.mark.parametrize("kind", ["comparison", "profile", "bench"])
@pytest.mark.parametrize(
    "way", [pytest.param(w, marks=[] if w in _SOME else pytest.mark.slow) for w in (*WAYS, "mhtml")]
)
def test_so_do_comparisons_profiles_and_benchmarks(show, kind, way):
    _assert_shown(show(kind, way), kind, way)


@pytest.mark.parametrize(("width", "dark"), [(420, False), (420, True), (1440, True)])
@pytest.mark.parametrize(
    "way",
    [
        "mhtml",
        "no scripts",
        *(pytest.param(w, marks=pytest.mark.slow) for w in ("copy", "jenkins")),
    ],
)
def test_on_a_telephone_and_in_the_dark_too(show, way, width, dark):
    _assert_shown(show("trace", way, width=width, dark=dark), "trace", way)


_PRINTED = ("file", "srcdoc", "no scripts", "mhtml", "copy", "no styles, no scripts")


@pytest.mark.parametrize("way", _PRINTED)
def test_on_paper_each_chart_is_there_once(show, way):
    """In a dark room too: paper has the light picture."""
    frame = show("trace", way, dark=True)
    frame.page.emulate_media(media="print")
    frame.evaluate("dispatchEvent(new Event('beforeprint'))")
    view = frame.evaluate(SEEN)
    for picture in view["pictures"]:
        assert picture["still"] + picture["live"] == 1, picture
    assert view["controls"] == 0
    assert way in UNSTYLED or view["notice"] == ""
    assert frame.page.pdf()
    image = Image.open(io.BytesIO(frame.locator("#figure").screenshot())).convert("L")
    assert np.median(np.asarray(image)[:3]) > 230


_CONTRASTS = """[...document.querySelectorAll('h1, h1 *, h2, h3, p, figcaption, .banner')]
  .filter((element) => element.checkVisibility() && element.innerText.trim())
  .map((element) => {
    const parts = getComputedStyle(element).color.match(/[0-9.]+/g).slice(0, 3).map((n) => n / 255);
    const [r, g, b] = parts.map((n) => n <= 0.04045 ? n / 12.92 : ((n + 0.055) / 1.055) ** 2.4);
    return 1.05 / (0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05);
  })"""


@pytest.mark.parametrize("kind", list(FIGURES))
def test_paper_is_white_in_the_dark_too(show, kind):
    frame = show(kind, "file", dark=True)
    frame.page.emulate_media(media="print")
    assert min(frame.evaluate(_CONTRASTS)) > 4.5
    image = Image.open(io.BytesIO(frame.page.screenshot())).convert("L")
    assert np.median(np.asarray(image)) > 250
    picture = Image.open(io.BytesIO(frame.locator(FIGURES[kind]).first.screenshot())).convert("L")
    assert np.median(np.asarray(picture)[:3]) > 230


def test_a_copy_of_a_copy_is_as_small_and_as_live_as_the_page(show, pages, tmp_path):
    """What the script adds to the document, it does not add again."""
    frame = show("trace", "copy")
    once = frame.evaluate("document.documentElement.outerHTML.length")
    again = tmp_path / "again.html"
    again.write_text(frame.evaluate("document.documentElement.outerHTML"), "utf-8")
    frame.goto(again.as_uri())
    frame.wait_for_selector("html.whole", state="attached", timeout=60_000)
    assert abs(frame.evaluate("document.documentElement.outerHTML.length") - once) < 0.01 * once
    assert once < 1.1 * len(pages("trace").read_text("utf-8"))
    _assert_shown(frame, "trace", "copy")


def test_without_scripts_a_copy_says_of_the_still_figure_what_it_is(show):
    """The reader had chosen another view, whose caption is not the picture's."""
    opening = show("trace", "no scripts").inner_text("#figure figcaption")
    assert show("trace", "mhtml").inner_text("#figure figcaption") == opening
    assert show("trace", "file").inner_text("#caption").split() == opening.split()


def test_two_reports_in_one_page_are_live_and_apart(chromium, server, pages):
    server.text = pages("trace").read_text("utf-8")
    page = chromium.new_page()
    page.goto(server.address + "src")
    page.evaluate("document.body.append(document.querySelector('iframe').cloneNode())")
    for frame in page.frames[1:]:
        frame.wait_for_selector("html.whole", state="attached", timeout=60_000)
    first, second = page.frames[1:]
    first.click("[data-view=attention]")
    assert first.locator("[data-view=attention][aria-pressed=true]").count() == 1
    assert second.locator("[data-view=lens][aria-pressed=true]").count() == 1
    for frame in (first, second):
        _assert_shown(frame, "trace", "src")
    page.close()


def test_a_link_of_the_page_stays_in_the_page(show):
    """In a frame by `srcdoc`, the browser would take `#section-map` for a part of the host."""
    frame = show("trace", "srcdoc")
    frame.click('nav a[href="#section-map"]')
    frame.click('nav a[href="#section-figure"]')
    assert frame.url == "about:srcdoc"
    assert "live" in frame.evaluate("document.documentElement.className")


@pytest.mark.parametrize("strip", ["styles", "sources", "pictures"])
def test_a_notebooks_cell_shows_its_pictures_or_their_texts_where_it_is_sanitised(chromium, strip):
    """Viewers take attributes and elements away that they do not know."""
    cell = synthetic()._repr_html_()
    cell = {
        "styles": lambda text: re.sub(r' style="[^"]*"', "", text),
        "sources": lambda text: re.sub(r"</?picture>|<source[^>]*>", "", text),
        "pictures": lambda text: re.sub(r'(?:src|srcset)="data:[^"]*"', "", text),
    }[strip](cell)
    page = chromium.new_page()
    page.set_content(
        f'<iframe id="f" sandbox="" srcdoc="{html.escape(cell)}" height="900"></iframe>'
    )
    frame = page.frames[-1]
    frame.wait_for_load_state()
    pictures = frame.locator("img")
    for i in range(2):
        picture = pictures.nth(i)
        assert picture.is_visible()
        is_drawn = picture.evaluate("(own) => own.naturalWidth > 100")
        assert is_drawn == (strip != "pictures")
        assert "by layer and position" in picture.get_attribute("alt")
        assert frame.locator("figcaption").nth(i).is_visible()
    page.close()
