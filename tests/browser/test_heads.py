"""The grids of all heads in a real browser: pictures, choosers, clicks and keys."""

import numpy as np
import pytest

from attentropy.engine.run.extract import extract
from attentropy.report import palette
from attentropy.report.figures.headgrid import card_size, section_size
from attentropy.report.findings.head_roles import head_roles
from attentropy.report.findings.single import observe
from long_traces import long
from pictured import with_thumbnails, without_thumbnails

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def demo():
    return extract(device="cpu")


def _open(open_page, trace, **how):
    opened = open_page(trace, observations=observe(trace), **how)
    opened.page.wait_for_selector(".drawn > #grid")
    opened.quiet()
    return opened


def _show_section(opened):
    """Scroll to the large grid, and wait until it is drawn."""
    opened.page.locator("#section-heads").scroll_into_view_if_needed()
    opened.page.wait_for_selector(".drawn > #roster")
    opened.page.locator("#roster-figure").scroll_into_view_if_needed()
    opened.quiet()


def _at(opened, chart, size, layer, place, share=(0.4, 0.4)):
    """Return the point of the screen at a share of a head's picture."""
    left, top = opened.corner(chart)
    x = place * size.cell[0] + share[0] * size.picture[0]
    return left + x, top + (size.layers - 1 - layer) * size.cell[1] + share[1] * size.picture[1]


def _picked(opened):
    state = opened.state()
    return {name: state[name] for name in ("view", "rows", "layer", "head", "row")}


@pytest.mark.parametrize("is_dark", [False, True])
def test_a_pixel_has_the_colour_of_its_mass_in_light_and_dark(open_page, demo, is_dark):
    opened = _open(open_page, demo, height=1600, dark=is_dark)
    _show_section(opened)
    size, pixels = section_size(8, 4, narrow=False), opened.pixels()
    name = "night" if is_dark else "weight"
    for layer, head in ((0, 0), (5, 3), (7, 1)):
        for q, k in ((16, 8), (16, 3), (3, 2), (12, 15)):
            share = ((k + 0.5) / 17, (q + 0.5) / 17)
            x, y = _at(opened, "#roster", size, layer, head, share)
            byte = demo["thumbnail"][layer, head, q, k]
            expected = palette.colors(np.array(byte / 255), 0, 1, name).astype(int)
            np.testing.assert_allclose(
                pixels[int(y), int(x)], expected, atol=4, err_msg=f"{layer} {head} {q} {k}"
            )
    opened.assert_clean()


def test_a_click_makes_a_head_the_figures_and_outlines_it(open_page, demo):
    opened = _open(open_page, demo)
    size = card_size(8, 4)
    x, y = _at(opened, "#grid", size, 5, 3)
    opened.page.mouse.click(x, y)
    opened.quiet()
    wanted = {"view": "attention", "rows": "layers", "layer": "5", "head": "3", "row": "5"}
    assert _picked(opened) == wanted
    opened.page.mouse.move(5, 5)
    opened.quiet()
    pixels, ink = opened.pixels(), [int(palette.LIGHT["ink"][i : i + 2], 16) for i in (1, 3, 5)]
    left, top = (round(v) for v in _at(opened, "#grid", size, 5, 3, (0, 0.5)))
    edge = np.abs(pixels[top, left - 3 : left + 4] - ink).sum(-1)
    assert edge.min() < 60
    # The figure's own choosers lead back to the grid: another head is outlined then.
    opened.page.select_option("#head", "1")
    opened.quiet()
    other = np.abs(opened.pixels()[top, left - 3 : left + 4] - ink).sum(-1)
    assert other.min() > 60
    opened.assert_clean()


def test_arrow_keys_move_from_head_to_head(open_page, demo):
    opened = _open(open_page, demo)
    opened.page.locator(".grid-card .figure").focus()
    before = opened.page.evaluate("scrollY")
    for key, layer, head in (
        ("ArrowUp", 0, 0), ("ArrowUp", 1, 0), ("ArrowRight", 1, 1), ("ArrowLeft", 1, 0),
        ("ArrowLeft", 1, 0), ("ArrowDown", 0, 0), ("ArrowDown", 0, 0),
    ):  # fmt: skip
        opened.press(key)
        state = _picked(opened)
        assert (int(state["row"]), int(state["head"])) == (layer, head)
    assert opened.page.inner_text("#grid-live").startswith("layer 0 · head 0")
    assert opened.page.evaluate("scrollY") == before
    opened.assert_clean()


def test_a_hovered_head_is_described_in_the_details_pane(open_page, demo):
    opened, roles = _open(open_page, demo), head_roles(demo)
    layer, head = next(at for at in np.ndindex(8, 4) if roles.words[at[0]][at[1]])
    opened.page.mouse.move(*_at(opened, "#grid", card_size(8, 4), layer, head))
    opened.quiet()
    text = opened.page.inner_text("#details-notes")
    assert f"layer {layer} · head {head}" in text
    assert f"{roles.where}: attends most to" in text
    assert roles.words[layer][head] in text
    assert f"entropy {demo['head_entropy'][layer, head]:.3g}"[:10] in text
    assert "local not measured" in text
    opened.page.mouse.move(5, 5)
    opened.quiet()
    assert f"layer {layer} · head {head}" not in opened.page.inner_text("#details-notes")


def test_heads_are_sorted_by_score_and_by_kind(open_page, demo):
    opened = _open(open_page, demo)
    size, scores, roles = card_size(8, 4), demo["head_sink"], head_roles(demo)
    opened.page.select_option("#grid-score", "1")
    opened.page.select_option("#grid-order", "score")
    opened.quiet()
    assert opened.page.input_value("#order") == "score"
    for layer in (0, 4):
        order = np.argsort(-scores[layer], kind="stable")
        opened.page.mouse.click(*_at(opened, "#grid", size, layer, 0))
        opened.quiet()
        assert int(_picked(opened)["head"]) == order[0]
    opened.page.select_option("#grid-order", "kind")
    opened.quiet()
    layer = next(i for i in range(8) if 0 < (roles.kinds[i] > 0).sum() < 4)
    opened.page.mouse.click(*_at(opened, "#grid", size, layer, 3))
    opened.quiet()
    assert roles.kinds[layer, int(_picked(opened)["head"])] == 0  # without a kind: last
    opened.assert_clean()


def test_a_trace_without_pictures_has_cells_in_the_colour_of_the_score(open_page, demo):
    trace = without_thumbnails(demo)
    opened = _open(open_page, trace, height=1600)
    _show_section(opened)
    opened.page.select_option("#score", "1")
    opened.quiet()
    size, pixels = section_size(8, 4, narrow=False), opened.pixels()
    for layer, head in ((0, 0), (5, 3), (7, 2)):
        x, y = _at(opened, "#roster", size, layer, head)
        value = demo["head_sink"][layer, head]
        expected = palette.colors(np.array(value), 0, 1, "weight").astype(int)
        np.testing.assert_allclose(pixels[int(y), int(x)], expected, atol=4)
    assert "no pictures of the heads" in opened.page.inner_text("#section-heads")
    opened.assert_clean()


@pytest.mark.parametrize(("layers", "heads"), [(32, 32), (30, 9)])
def test_many_heads_fit_on_the_first_screen(open_page, layers, heads):
    trace = with_thumbnails(long(1500, layers=layers, heads=heads, read=100))
    opened = _open(open_page, trace, width=1440, height=900)
    box = opened.page.locator(".grid-card").bounding_box()
    assert box["height"] <= 420
    assert 300 <= box["width"] <= 340
    assert box["y"] + box["height"] <= 900
    x, y = _at(opened, "#grid", card_size(layers, heads), layers - 1, heads - 1)
    opened.page.mouse.click(x, y)
    opened.quiet()
    assert _picked(opened)["row"] == str(layers - 1)
    assert _picked(opened)["head"] == str(heads - 1)
    opened.assert_clean()


def test_without_scripts_the_pictures_are_there(open_page, demo):
    page = open_page(demo, observations=observe(demo), scripts=False).page
    assert page.locator(".grid-card img.lit").is_visible()
    assert "All 32 heads" in page.inner_text(".grid-card")
    assert page.locator(".grid-card select:visible").count() == 0


def test_on_a_telephone_the_grids_are_within_the_page(open_page, demo):
    opened = _open(open_page, demo, width=420, height=4000)
    _show_section(opened)
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= 420
    for chart in ("#grid", "#roster"):
        box = opened.page.locator(f"{chart} canvas").bounding_box()
        assert box["x"] + box["width"] <= 420
    opened.assert_clean()
