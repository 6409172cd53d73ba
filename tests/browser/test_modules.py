"""The script as real modules, from a server: the page does the same, and every function runs.

Joined, the modules share one scope, where a missing import goes unnoticed. Here it is an error.
"""

import re
from pathlib import Path

import numpy as np
import pytest

from attentropy.engine.trace.dataset import Trace
from attentropy.report.compare.difference import compare
from attentropy.report.figures.sizes import wide
from attentropy.report.findings.compared import observe
from long_traces import long
from pictured import with_thumbnails
from sourced import capital
from traces import CHAT, sited, synthetic

pytestmark = pytest.mark.browser


def _pair():
    """Yield two traces whose sixth token differs, with one id for each text."""
    others = [*CHAT[:5], " Which", *CHAT[6:]]
    ids = {text: i for i, text in enumerate(dict.fromkeys([*CHAT, *others]))}
    for seed, tokens in enumerate((CHAT, others)):
        trace = synthetic(tokens, seed=seed, window=False)
        numbers = np.array([ids[text] for text in tokens], np.int32)
        yield Trace(trace.dataset.assign_coords(token_ids=("position", numbers)))


def _section(opened, rows, x, y):
    """Return the screen point at the shares x, y of the section's width and height."""
    size, (left, top) = wide(rows), opened.corner()
    above = top + size.overview + size.above
    return left + size.left + x * size.section, above + y * size.height


def _skill(opened, rows, share):
    """Return the screen point of the bars of lens skill, at a share of the section's height."""
    sizes = opened.page.evaluate("JSON.parse(document.getElementById('report').textContent)")
    facts = sizes["sizes"]["wide"]
    canvas = opened.page.locator("#canvas canvas").bounding_box()
    middle = facts["strip"] - facts["section"] + facts["stripWidth"] / 2
    left = opened.corner()[0] + facts["left"] + canvas["width"] - facts["rest"] + middle
    return left, _section(opened, rows, 0, share)[1]


def _over(opened, x, y):
    """Return what tooltip and details say of a point of the screen."""
    opened.page.mouse.move(x, y)
    return opened.details() + opened.page.inner_text("#tip")


def _drag(opened, start, stop):
    mouse = opened.page.mouse
    mouse.move(*start)
    mouse.down()
    mouse.move(*stop, steps=3)
    opened.quiet()
    mouse.up()


def _map_size(opened):
    """Return the side of the map's panels and the origin of the region's panel, in pixels."""
    sizes = opened.page.evaluate("JSON.parse(document.getElementById('report').textContent)")
    return sizes["mapSizes"]["wide"]["side"], sizes["mapSizes"]["wide"]["part"]


def _csv(opened, id):
    with opened.page.expect_download() as download:
        opened.page.click(f"[data-csv={id}]")
    return Path(download.value.path()).read_bytes()


# Stands in for a clipboard that refuses pictures, whatever the browser allows each address.
_REFUSED = """
Object.defineProperty(navigator, 'clipboard', { value: { write: async () => {
  throw new DOMException('not here', 'NotAllowedError');
} } });
"""


def _save_figure(opened):
    """Return the figure as the buttons save it, as PNG and as SVG, with what they say."""
    opened.page.evaluate(_REFUSED)
    results = []
    for button in ("copy", "save"):
        with opened.page.expect_download() as download:
            opened.page.click(f"#{button}-figure")
        opened.quiet()
        results += [Path(download.value.path()).read_bytes(), opened.page.inner_text("#copy-note")]
    return results


def _texts(opened):
    """Return the current address of the page and all its texts."""
    return opened.state(), opened.page.inner_text("body")


def _explore(opened):
    """Use the controls of a short prompt's figure and return what the page shows meanwhile."""
    page, shown = opened.page, []
    page.focus("#figure")
    opened.press("ArrowRight", "ArrowUp", "Shift+ArrowLeft", "ArrowDown", "+", "-", "]", "[", "End")
    opened.press("Home", "w", "d", "a", "s", "i", "r", "Shift+W", "i", "?")
    assert page.locator("#help").is_visible()
    page.get_by_role("button", name="Close").click()
    opened.press("Escape", "/")
    page.keyboard.type("capital of")
    opened.press("Enter", "Shift+Enter", "Escape")
    shown.append(_texts(opened))
    page.locator("#text [data-at]:visible").first.hover()
    shown.append(opened.details())
    page.locator("#text [data-at]:visible").first.click()
    shown.append(_over(opened, *_section(opened, 6, 0.3, 0.3)))
    shown.append(_over(opened, *_skill(opened, 6, 0.3)))
    page.set_viewport_size({"width": 1270, "height": 1100})
    opened.quiet()
    shown.append(_over(opened, *_skill(opened, 6, 0.3)))  # now in a tooltip
    page.set_viewport_size({"width": 1440, "height": 1100})
    opened.quiet()
    page.mouse.click(*_section(opened, 6, 0.4, 0.5))
    _drag(opened, _section(opened, 6, 0.4, 0.5), _section(opened, 6, 0.7, 0.8))
    left, top = opened.corner()
    _drag(opened, (left + 400, top + 10), (left + 200, top + 10))
    page.keyboard.down("Control")
    page.mouse.wheel(0, -50)
    page.keyboard.up("Control")
    opened.quiet()
    page.select_option("#stat", "lens_kl")
    page.select_option("#site", "mlp")
    opened.quiet()
    shown.append(_texts(opened))
    page.select_option("#stat", "lens_rank")
    page.click("[data-view=attention]")
    page.select_option("#rows", "heads")
    page.select_option("#stat", "normalized_entropy")
    opened.quiet()
    size = wide(6)
    shown.append(_over(opened, left + 20, top + size.overview + size.above + 20))
    for button in ("column", "section", "weights"):
        page.click(f"#pin-{button}")
    page.click(".pin button >> text=Show >> nth=0")
    page.get_by_role("button", name="Remove inset 2").click()
    page.click("[data-finding] >> nth=0")
    page.select_option("#palette", "cividis")
    page.click("nav.sections a >> nth=2")
    shown.append(_texts(opened))
    shown.append(_csv(opened, "figure"))
    shown += _save_figure(opened)
    page.locator("#map").scroll_into_view_if_needed()
    page.wait_for_selector("#map canvas")
    page.select_option("#map-layer", "2")
    page.select_option("#map-values", "entropy")
    shown.append(_csv(opened, "table-window"))
    page.select_option("#map-head", "1")
    page.locator("#map canvas").scroll_into_view_if_needed()
    x, y = opened.corner("#map")
    shown.append(_over(opened, x + 30, y + 90))
    page.mouse.click(x + 30, y + 90)
    page.evaluate("for (const twin of document.querySelectorAll('.twin details')) twin.open = true")
    shown.append(_texts(opened))
    page.click("#reset")
    opened.go("view=lens&col=2&box=false&pin=r,1:5,3:12,lens.layers.0.-1")
    shown.append(_texts(opened))
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.set_viewport_size({"width": 500, "height": 1100})
    opened.quiet()
    shown.append(_texts(opened))
    # Gestures with two fingers, then with one.
    touch = page.context.new_cdp_session(page)
    page.evaluate("scrollTo(0, 0)")
    opened.quiet()
    x, y = opened.corner()
    for kind, *points in (
        ("touchStart", (x + 150, y + 10), (x + 200, y + 10)),
        ("touchMove", (x + 130, y + 10), (x + 220, y + 10)),
        ("touchEnd",),
    ):
        at = [{"x": px, "y": py, "id": i} for i, (px, py) in enumerate(points)]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": at})
    shown.append(_texts(opened))
    return shown


def _read(opened):
    """Use the text of a long prompt and return what it shows meanwhile."""
    page, shown = opened.page, []
    page.click("#text-expand")
    page.locator("#text-unsure button").first.click()
    opened.press("ArrowRight", "Enter")
    opened.quiet()
    token = page.locator("#text .t.chosen")
    token.hover()
    opened.quiet()
    shown.append(token.get_attribute("title"))
    token.click()
    page.locator("#minimap canvas").scroll_into_view_if_needed()
    box = page.locator("#minimap canvas").bounding_box()
    x = box["x"] + box["width"] / 2
    for share in (0.2, 0.6):
        _drag(opened, (x, box["y"] + 8), (x, box["y"] + share * box["height"]))
        shown.append(page.inner_text("#text"))
    page.evaluate("document.getElementById('text').scrollTop = 0")
    page.focus("#text")
    opened.press("Enter")
    opened.quiet()
    shown.append(page.locator("#text details").first.inner_text())
    page.click("#text-expand")
    opened.quiet()
    return shown


def _explore_long(opened):
    """Use the figure and the map of a long prompt and return what the page shows meanwhile."""
    page, shown = opened.page, []
    shown.append(_read(opened))
    shown.append(_over(opened, *_section(opened, 3, 0.3, 0.3)))
    opened.go("view=lens&a=100&b=4000&col=300&row=1&find=assistant")
    page.focus("#figure")
    opened.press("Shift+W")
    page.click("#search-next")
    shown.append(_over(opened, *_section(opened, 3, 0.3, 0.3)))
    page.focus("#figure")
    opened.press("Shift+W", "r", "i")
    page.select_option("#how", "high")
    page.click("[data-view=attention]")
    page.select_option("#rows", "heads")
    opened.go("view=attention&rows=heads&layer=1&a=400&b=430&col=420")
    shown.append(_over(opened, *_section(opened, 3, 0.3, 0.3)))
    shown.append(_csv(opened, "figure"))
    shown.append(_texts(opened))
    page.locator("#grid canvas").scroll_into_view_if_needed()
    x, y = opened.corner("#grid")
    shown.append(_over(opened, x + 20, y + 20))
    shown.append(_over(opened, x - 3, y + 20))
    page.locator("#spread").scroll_into_view_if_needed()
    page.wait_for_selector("#spread canvas")
    page.select_option("#spread-layer", "2")
    shown.append(_csv(opened, "table-spread"))
    page.locator("#map").scroll_into_view_if_needed()
    page.wait_for_selector("#map canvas")
    page.select_option("#map-layer", "1")
    page.focus("#map-figure")
    opened.press("ArrowUp", "-", "ArrowLeft", "+", "ArrowDown", "ArrowRight")
    x, y = opened.corner("#map")
    shown.append(_over(opened, x + 30, y + 60))
    side, part = _map_size(opened)
    shown.append(_over(opened, x + part[0] + 20, y + part[1] + side / 2))
    _drag(opened, (x + 20, y + 20), (x + 90, y + 90))
    page.mouse.click(x + 30, y + 60)
    shown += [_csv(opened, id) for id in ("table-map", "table-region", "table-received")]
    page.locator("#roster").scroll_into_view_if_needed()
    page.wait_for_selector("#roster canvas")
    page.evaluate("for (const twin of document.querySelectorAll('.twin details')) twin.open = true")
    page.select_option("#score", "1")
    page.locator("#roster canvas").scroll_into_view_if_needed()
    x, y = opened.corner("#roster")
    shown.append(_over(opened, x + 30, y + 30))
    for order in ("score", "kind"):
        page.select_option("#order", order)
        shown.append(_over(opened, x + 30, y + 30))
    page.mouse.click(x + 30, y + 30)
    page.focus("#roster-figure")
    opened.press("ArrowUp", "ArrowRight", "ArrowDown", "ArrowLeft")
    opened.quiet()
    shown += [page.inner_text("#grid-live"), opened.address()]
    opened.go("mapLayer=2&q0=4980&q1=4990&k0=4970&k1=5000")
    opened.quiet()
    shown.append(_texts(opened))
    return shown


def _explore_pair(opened):
    """Hover over cells of a comparison, of both traces and of one, and return what is shown."""
    page, shown = opened.page, []
    for view in ("lens", "attention"):
        page.click(f"[data-view={view}]")
        shown += [_over(opened, *_section(opened, 6, (i + 0.5) / 12, 0.4)) for i in range(12)]
        page.click("#pin-column")
    page.select_option("#head", "1")
    shown.append(_over(opened, *_section(opened, 6, 0.3, 0.3)))
    page.set_viewport_size({"width": 440, "height": 2400})
    opened.quiet()
    shown.append(_texts(opened))
    return shown


def _explore_sources(opened):
    """Choose words of an answer whose sources were tested, and return what the page shows."""
    page, shown = opened.page, []
    for place in (22, 18, 8):
        page.click(f'#text .t[data-at="{place}"]')
        opened.quiet()
        page.hover('#text .t[data-at="8"]')
        opened.quiet()
        shown.append(page.locator('#text .t[data-at="8"]').get_attribute("title"))
        shown.append(_texts(opened))
    opened.go("view=attention&rows=heads&layer=1")
    shown.append(_texts(opened))
    return shown


def _idle(profiler):
    """Return the functions of the modules that never ran, as {module: names}."""
    idle = {}
    for entry in profiler.send("Profiler.takePreciseCoverage")["result"]:
        if "/script/" in entry["url"]:
            module = entry["url"].partition("/script/")[2]
            idle[module] = {
                f["functionName"]
                for f in entry["functions"]
                if f["functionName"] and f["ranges"][0]["count"] == 0
            }
    return idle


def _cases(name):
    """Return the trace of a walk, the options of its page, and the function that does the walk."""
    if name == "long":
        trace = long(5000, layers=3, heads=3, read=400, window=32)
        return trace, {"max_bytes": 900_000}, _explore_long
    if name == "pair":
        difference = compare(*_pair())
        return difference, {"observations": observe(difference)}, _explore_pair
    if name == "sources":
        return capital(), {}, _explore_sources
    trace = sited()
    texts = trace["token_text"].copy()
    texts[trace.tokens.index(" is")] = "is"  # so that a word has two tokens
    trace = Trace(trace.dataset.assign_coords(token_text=("position", texts)))
    return with_thumbnails(trace), {}, _explore


def _walk(open_page, open_modules, walk: str) -> dict[str, set[str]]:
    """Take a walk on the joined page and on the modules; return the functions that did not run."""
    trace, options, explore = _cases(walk)
    modular, profiler = open_modules(trace, coverage=True, **options)
    joined = open_page(trace, **options)
    assert _texts(modular) == _texts(joined)
    shown = explore(modular)
    modular.assert_clean()
    idle = _idle(profiler)
    assert shown == explore(joined)
    joined.assert_clean()
    return idle


def test_as_real_modules_the_page_opens_the_same(open_page, open_modules):
    trace, options, _ = _cases("short")
    modular, _ = open_modules(trace, **options)
    assert _texts(modular) == _texts(open_page(trace, **options))
    modular.assert_clean()


@pytest.mark.slow
def test_as_real_modules_the_page_does_the_same_in_walks_over_every_function(
    open_page, open_modules
):
    """A name that no module declares would therefore raise an error in a walk."""
    idle = [_walk(open_page, open_modules, walk) for walk in ("short", "long", "pair", "sources")]
    never = {module: set.intersection(*(walk[module] for walk in idle)) for module in idle[1]}
    # Methods of the placeholder plane, which is shown while the values of another plane load.
    never["data/statistics.js"] -= {"at", "tile", "over"}
    # What runs where a browser lacks something, or a chart cannot be drawn: see test_embedding.py.
    never["data/browser.js"], never["figure/chart.js"] = (
        set(),
        never["figure/chart.js"] - {"showStill"},
    )
    # What runs for an address that cannot be shown, or a layer without attention: see
    # test_addresses.py and test_layers_without_attention.py.
    for module, names in {
        "data/fields.js": {"near"},
        "figure/address.js": {"isAnchor"},
        "figure/address_note.js": {"quoteAddress"},
        "figure/describe.js": {"whyUndefined"},
        "figure/missing.js": {"headsOf"},
    }.items():
        never[module] = never[module] - names
    assert {module: names for module, names in never.items() if names} == {}


def test_a_missing_import_is_an_error_of_the_page(open_modules, modules_server):
    folder, _ = modules_server
    module = folder / "script" / "figure" / "announce.js"
    text = module.read_text("utf-8")
    try:
        module.write_text(re.sub(r"import \{ cellText \}.*\n", "", text), "utf-8")
        opened, _ = open_modules(synthetic(), settle=False)
        while not opened.errors:
            opened.quiet()
    finally:
        module.write_text(text, "utf-8")
    assert any("cellText is not defined" in error for error in opened.errors)
