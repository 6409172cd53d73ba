"""A reader explores the figure by keys, pointer, pinned insets, search, and the address."""

import io
import re

import numpy as np
import pytest
from PIL import Image

from attentropy.report.figures.sizes import wide
from traces import CHAT, synthetic

pytestmark = pytest.mark.browser

N, LAYERS = len(CHAT), 6


@pytest.fixture(scope="module")
def trace():
    return synthetic()


def _cell(opened, column, row, columns=12, size=None):
    """Return the screen point x, y at the centre of a cell of the section."""
    size = size or wide(LAYERS)
    left, top = opened.corner()
    x = left + size.left + (column + 0.5) / columns * size.section
    y = top + size.overview + size.above + (LAYERS - row - 0.5) / LAYERS * size.height
    return x, y


def _still(opened):
    """Return a screenshot of the page after it no longer changes."""
    before = None
    while (now := opened.page.screenshot()) != before:
        before = now
        opened.quiet()
    return now


def test_keys_move_zoom_pin_search_and_help(open_page, trace):
    opened = open_page(trace, fragment="#view=lens&a=4&b=14&col=8&row=2")
    page = opened.page
    page.focus("#figure")
    opened.press("ArrowRight", "ArrowUp")
    assert {"col": "9", "row": "3"}.items() <= opened.state().items()
    opened.press("Shift+ArrowLeft")
    assert opened.state()["col"] == "0"
    opened.press("End")
    assert opened.state()["col"] == str(N - 1)
    assert f"position {N - 1} magnified" in page.inner_text("#caption")
    opened.press("Home", "]", "]")
    assert {"col": "0", "row": "5"}.items() <= opened.state().items()
    announcement = page.inner_text("#live")
    assert announcement.startswith(f"lens entropy {trace['lens_entropy'][0, 5, 0]:.3f} nats")

    # Zooming in keeps the selected cell where it is: 7 of 10 columns from the left.
    opened.go("view=lens&a=4&b=14&col=11&row=2")
    page.focus("#figure")
    opened.press("+")
    now = {name: int(opened.state()[name]) for name in ("a", "b", "col")}
    assert now["b"] - now["a"] == 8
    assert now["col"] == 11
    assert abs((11.5 - now["a"]) / 8 - 0.75) < 0.08
    opened.press(*["+"] * 12)
    assert (opened.state()["a"], opened.state()["b"]) == ("11", "12")
    opened.press(*["-"] * 20)
    assert (opened.state()["a"], opened.state()["b"]) == ("0", str(N))

    # Ctrl and the wheel zoom around the pointer: the cell under the pointer stays there.
    page.mouse.move(*_cell(opened, 11, 2, N))
    page.keyboard.down("Control")
    page.mouse.wheel(0, -50)
    page.keyboard.up("Control")
    opened.quiet()
    now = {name: int(opened.state()[name]) for name in ("a", "b")}
    assert now["b"] - now["a"] == 10
    assert abs((11.5 - now["a"]) / 10 - 11.5 / N) < 0.08

    # Where heads are rows, the brackets change the layer.
    opened.go("view=attention&rows=heads&layer=1&a=4&b=14&col=9&row=2")
    page.focus("#figure")
    opened.press("]")
    assert opened.state()["layer"] == "2"
    assert page.input_value("#layer") == "2"
    opened.press("i", "r", "Shift+W", "i")
    assert opened.state()["pin"] == (
        "c,9,attention.heads.2.-1;r,0:3,4:14,attention.heads.2.-1;w,2:3,4:10,attention.heads.2.-1"
    )
    assert "Already pinned" in page.inner_text("#pins-note")

    # In the search field letters are typed as text; Escape moves the focus to the figure.
    opened.press("/")
    page.keyboard.type("i+?")
    state = opened.state()
    assert state["find"] == "i%2B%3F"
    assert state["pin"].count(";") == 2
    opened.press("Escape")
    assert page.evaluate("document.activeElement.id") == "figure"

    opened.press("?")
    dialog = page.locator("#help")
    assert dialog.is_visible()
    assert page.evaluate("document.activeElement.textContent") == "Close"
    listed = dialog.locator("kbd").all_inner_texts()
    assert {"←", "Home", "+", "[", "i", "r", "W", "A", "/", "Esc", "?"} <= set(listed)
    opened.press("i")
    opened.press("Escape")
    assert not dialog.is_visible()
    assert page.evaluate("document.activeElement.id") == "figure"
    assert opened.state()["pin"].count(";") == 2

    # When nothing has the focus, the letter keys work and the arrow keys scroll the page.
    opened.press("Escape")
    assert page.evaluate("document.activeElement === document.body")
    opened.press("?")
    assert dialog.is_visible()
    dialog.get_by_role("button", name="Close").click()
    assert not dialog.is_visible()
    page.evaluate("document.activeElement.blur()")
    opened.press("ArrowRight")
    assert opened.state()["col"] == "9"
    opened.assert_clean()


def test_insets_hold_the_values_of_the_trace_and_can_be_removed(open_page, trace):
    opened = open_page(trace, fragment="#view=lens&a=5&b=17&col=9&row=2")
    page, mouse = opened.page, opened.page.mouse
    values = trace["lens_entropy"][0]

    # A click selects a cell. A drag pins the cells that it covers, and frames them meanwhile.
    mouse.click(*_cell(opened, 3, 4))
    assert {"col": "8", "row": "4"}.items() <= opened.state().items()
    assert page.locator(".pin").count() == 0
    before = page.screenshot()
    mouse.move(*_cell(opened, 2, 4))
    mouse.down()
    mouse.move(*_cell(opened, 5, 1), steps=4)
    opened.quiet()
    assert page.screenshot() != before
    mouse.up()
    assert opened.state()["pin"] == "r,1:5,7:11,lens.layers.0.-1"
    table = opened.pinned(0)
    assert [row[0] for row in table] == ["layer", "4", "3", "2", "1"]
    for row in table[1:]:
        shown = [float(text.split("\n")[-1]) for text in row[1:]]
        np.testing.assert_allclose(shown, values[int(row[0]), 7:11], atol=0.0051)
        ids = trace["lens_top_ids"][0, int(row[0]), 7:11, 0]
        texts = [text.split("\n")[0].replace("_", " ") for text in row[1:]]
        assert texts == trace.text_of(ids)

    # A rectangle that is cancelled with Escape pins nothing.
    mouse.move(*_cell(opened, 2, 4))
    mouse.down()
    mouse.move(*_cell(opened, 7, 1), steps=4)
    page.focus("#figure")
    opened.press("Escape")
    mouse.up()
    assert opened.state()["pin"].count(";") == 0

    page.click("#pin-column")
    column = opened.pinned(1)
    assert column[0] == ["layer", "top token", "lens entropy (nats)", "probability", "lens skill"]
    for layer, _, entropy, probability, skill in column[1:]:
        assert abs(float(skill) - trace.lens_skill().skill[int(layer)]) < 0.0051
        assert abs(float(entropy) - values[int(layer), 8]) < 0.0051
        top = np.exp(trace["lens_top_logprobs"][0, int(layer), 8, 0])
        assert abs(float(probability) - top) < 0.00051

    # The weights of the selected row (mean over heads), and the remaining weight on other keys.
    page.click("#pin-weights")
    weights = trace["window"][4].mean(0)
    table = opened.pinned(2)
    keys = [int(name.split(" ")[0]) for name in table[0][1:-1]]
    assert keys == sorted(np.argsort(-weights[8, :9])[:12].tolist())
    for row in table[1:]:
        query = int(row[0].split(" ")[0])
        for key, text in zip(keys, row[1:-1], strict=True):
            assert text == (f"{weights[query, key]:.3f}" if key <= query else "")
        assert abs(float(row[-1]) - (1 - weights[query, keys].sum())) < 0.002

    # The cells have the figure's colours.
    high = float(np.log(2000))
    shade = page.evaluate(
        "getComputedStyle(document.querySelector('.pin tbody td')).backgroundColor"
    )
    at = values[4, 7] / high * 2
    low, up = [(0x21, 0x66, 0xAC), (0xF7, 0xF7, 0xF7), (0xB2, 0x18, 0x2B)][int(at) : int(at) + 2]
    wanted = np.array(low) * (1 - at % 1) + np.array(up) * (at % 1)
    np.testing.assert_allclose([int(v) for v in re.findall(r"\d+", shade)[:3]], wanted, atol=2)

    # "Show" on an inset moves the figure to its cells and its view.
    page.click("[data-view=attention]")
    page.select_option("#rows", "heads")
    page.click(".pin button >> text=Show >> nth=0")
    state = opened.state()
    assert (state["view"], state["row"], state["col"]) == ("lens", "4", "7")
    page.get_by_role("button", name="Remove inset 2").click()
    assert opened.state()["pin"] == "r,1:5,7:11,lens.layers.0.-1;w,4:5,3:9,attention.layers.0.-1"
    assert page.locator(".pin").count() == 2
    assert "Remove inset 2" in page.evaluate("document.activeElement.ariaLabel")

    # At most eight insets can be pinned.
    for position in range(8):
        page.focus("#figure")
        opened.go(f"view=lens&col={position}&pin={opened.state()['pin']}")
        page.click("#pin-column")
    assert page.locator(".pin").count() == 8
    assert "Remove one first" in page.inner_text("#pins-note")
    opened.assert_clean()


def test_the_address_holds_the_whole_state_and_believes_nothing(open_page, trace):
    fragment = (
        "view=attention&rows=layers&layer=0&head=1&palette=cividis&a=3&b=15&col=9&row=2"
        "&mapLayer=2&mapHead=1&mapWindow=0&values=entropy&how=mean&stat=entropy&site=residual&box=true"
        "&dots=true&sinks=false&fit=false"
        "&pin=c,9,attention.layers.0.1;r,1:5,3:12,lens.layers.0.-1;w,2:3,4:10,attention.layers.0.1"
        "&find=capital%20of"
    )
    opened = open_page(
        trace, fragment=f"#{fragment}", height=3600
    )  # all charts are in the viewport
    page = opened.page
    assert opened.address() == fragment
    assert page.input_value("#search") == "capital of"
    assert page.input_value("#map-layer") == "2"
    assert page.locator(".pin").count() == 3
    page.wait_for_selector(".drawn > #map")
    page.wait_for_function("document.querySelector('#map-scale').textContent.includes('nats')")
    first = _still(opened)

    # The page follows a link that names only part of the state, and the way back.
    opened.go("view=lens&col=2")
    state = opened.state()
    assert (state["view"], state["col"], state["palette"]) == ("lens", "2", "diverging")
    assert page.locator(".pin").count() == 0
    assert page.input_value("#search") == ""
    opened.go(fragment)
    page.evaluate("document.activeElement.blur()")
    shots = (_still(opened), first)
    again, before = (np.asarray(Image.open(io.BytesIO(shot))).astype(int) for shot in shots)
    np.testing.assert_allclose(again, before, atol=2)  # rounded corners are not drawn alike

    # A fragment that is an anchor of the page does not change the figure.
    opened.go("provenance")
    page.focus("#figure")
    opened.press("ArrowLeft")
    assert {"view": "attention", "col": "8"}.items() <= opened.state().items()

    one = "c,3,lens.layers.0.-1"
    for hostile in (
        "view=</script><script>window.pwned=1</script>&a=-1&b=1e3&col=0x2&row=99",
        "a=9&b=2&col=99999999999999999999&head=NaN&layer=&palette=__proto__&values=constructor",
        "%E0%A4%A&pin=%00&find=%ED%A0%80",
        f"pin={'c,' * 500}",
        f"pin=c,99,lens.layers.0.-1;r,4:1,0:2,lens.layers.0.-1;r,0:99,0:2,lens.layers.0.-1;"
        f"w,0:2,0:3,attention.layers.0.-1;w,0:1,0:3,lens.layers.0.-1;{one};{one};c,4,lens.layers.0;"
        "c,4,toString.layers.0.-1;x,1;;c,-1,lens.layers.0.-1",
        f"find={'x' * 5000}",
        "view=lens&" + "&".join(f"k{i}={'y' * 90}" for i in range(3000)),
    ):
        opened.go(hostile)
        opened.press("ArrowRight")
        state = opened.state()
        assert state["view"] in ("lens", "attention")
        assert 0 <= int(state["a"]) < int(state["b"]) <= N
        assert 0 <= int(state["col"]) < N
        assert state.get("pin", one) == one
        assert len(opened.address()) < 2000
    many = ";".join(f"c,{i},lens.layers.0.-1" for i in range(12))
    opened.go(f"pin={many}&find={'%F0%9F%98%80' * 50}")
    assert page.locator(".pin").count() == 8
    assert len(opened.address()) < 2000
    assert page.evaluate("window.pwned") is None
    opened.assert_clean()
