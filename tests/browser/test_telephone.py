"""On a telephone fingers move the figure, and labels that are cut are told in full."""

import numpy as np
import pytest

from attentropy.report.figures.sizes import narrow
from attentropy.report.text import mark_whitespace
from traces import CHAT, synthetic

pytestmark = pytest.mark.browser

N, LAYERS = len(CHAT), 6


@pytest.fixture(scope="module")
def trace():
    return synthetic()


def test_a_finger_drags_the_overview_and_insets_fit_a_telephone(open_page, trace):
    pins = "c,9,lens.layers.0.-1;r,0:6,0:17,lens.layers.0.-1;w,2:3,4:10,attention.layers.0.-1"
    opened = open_page(
        trace, width=420, touch=True, dark=True, fragment=f"#a=10&b=14&col=12&pin={pins}"
    )
    page = opened.page
    assert page.evaluate("document.documentElement.scrollWidth") <= 420
    assert page.locator(".pin").count() == 3
    page.emulate_media(media="print")
    assert page.locator(".pin table").first.is_visible()
    assert not page.locator(".unpin").first.is_visible()
    page.emulate_media(media="screen")
    opened.quiet()
    size, (left, top) = narrow(LAYERS), opened.corner()
    touch = page.context.new_cdp_session(page)
    scale = size.total / N

    def send(kind, *points):
        touches = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(points)]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches})

    # A finger drags at an angle; the page must not scroll meanwhile.
    x, y = left + 12 * scale, top + 20
    send("touchStart", (x, y))
    for i in range(1, 9):
        send("touchMove", (x - i * scale, y + 6 * i))
    send("touchEnd")
    assert (opened.state()["a"], opened.state()["b"]) == ("2", "6")
    assert page.evaluate("scrollY") == 0

    # Two fingers that move away from each other halve the number of columns.
    opened.go("a=2&b=10&col=4")
    left, top = opened.corner()
    x = left + size.left + 4.5 / 8 * size.section
    y = top + size.overview + size.above + (LAYERS - 3.5) / LAYERS * size.height
    send("touchStart", (x - 20, y), (x + 20, y))
    for i in range(1, 6):
        send("touchMove", (x - 20 - 4 * i, y), (x + 20 + 4 * i, y))
    send("touchEnd")
    state = opened.state()
    assert int(state["b"]) - int(state["a"]) == 4
    assert "pin" not in state
    opened.assert_clean()


def test_the_inset_of_a_telephone_tells_its_labels_in_full(open_page, trace):
    opened = open_page(
        trace, width=420, height=2400, fragment="#view=attention&a=10&b=14&col=12&row=2"
    )
    page, size, (left, top) = opened.page, narrow(LAYERS), opened.corner()
    weights = trace["window"][2].mean(0)[12, :13]
    keys = sorted(np.argsort(-weights)[:6])
    y = top + size.overview + size.above
    for i, key in enumerate(keys):
        for x in (left - 12, left + size.inset / 2):  # the label, and the weight
            page.mouse.move(x, y + (i + 0.5) / len(keys) * size.height)
            opened.quiet()
            tooltip = page.inner_text("#tip")
            assert f"exact weight {weights[key]:.3f}" in tooltip
            assert f"key {mark_whitespace(trace.tokens[key])} (position {key}, " in tooltip
            assert f"query {mark_whitespace(trace.tokens[12])} (position 12, " in tooltip
    page.mouse.move(left + size.left + 9, y + size.height - 5)
    opened.quiet()
    assert "position 10" in page.inner_text("#tip")
    # No label is cut off: nothing is drawn at the left edge of the canvas.
    page.mouse.move(1, 1)  # the tooltip would cover it
    opened.quiet()
    pixels = opened.pixels()
    edge = round(page.locator("#canvas canvas").bounding_box()["x"])
    strip = pixels[round(y) : round(y + size.height), edge : edge + 2]
    assert np.ptp(strip.reshape(-1, 3), 0).max() == 0
    page.click("[data-view=lens]")
    opened.quiet()
    left, top = opened.corner()  # there are fewer controls above it
    page.mouse.move(left + 9, top + size.overview + size.above + size.height - 5)
    opened.quiet()
    assert "layer 0 · position 12" in page.inner_text("#tip")
    opened.assert_clean()
