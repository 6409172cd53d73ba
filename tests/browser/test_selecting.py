"""All parts of a page share one hovered and one selected cell, and a pane says what it is."""

import os
import re

import numpy as np
import pytest

from attentropy.engine.trace.dataset import Trace
from attentropy.report.figures.sizes import wide
from attentropy.report.findings.single import observe
from long_traces import long
from traces import CHAT, synthetic

pytestmark = pytest.mark.browser

N, LAYERS = len(CHAT), 6
SIZE = wide(LAYERS)
MAP = 430  # pixels of the exact map's side


@pytest.fixture(scope="module")
def trace():
    return synthetic()


def _cell(opened, column, row, columns=12):
    """Return the screen point x, y at the centre of a cell of the section."""
    left, top = opened.corner()
    x = left + SIZE.left + (column + 0.5) / columns * SIZE.section
    return x, top + SIZE.overview + SIZE.above + (LAYERS - row - 0.5) / LAYERS * SIZE.height


def _on_map(opened, query, key):
    left, top = opened.corner("#map")
    return left + (key + 0.5) / N * MAP, top + (query + 0.5) / N * MAP


def _until(page, expression):
    """Wait until an expression is true in the page, whose policy forbids Playwright's own way."""
    while not page.evaluate(expression):
        page.wait_for_timeout(20)


def _changes(opened, before, point, reach=4):
    """Return whether a screenshot differs near a point from one that was taken before."""
    x, y = (round(c) for c in point)
    parts = (p[y - reach : y + reach, x - reach : x + reach] for p in (before, opened.pixels()))
    one, two = parts
    return bool(np.abs(one - two).max() > 40)


def test_what_is_hovered_is_marked_in_every_part(open_page, trace):
    opened = open_page(trace, fragment="#view=lens&a=5&b=17&col=6&row=5", height=3600)
    page = opened.page
    opened.quiet()
    before, (left, top) = opened.pixels(), opened.corner()
    overview = (left + 10.5 / N * SIZE.total, top + SIZE.overview / 2)
    column_edge = (left + SIZE.left + 5 / 12 * SIZE.section, _cell(opened, 0, 4)[1])
    row_edge = (_cell(opened, 9, 0)[0], _cell(opened, 0, 2)[1] - SIZE.height / LAYERS / 2)
    map_row, map_column = _on_map(opened, 9.5, 3), _on_map(opened, 14, 9.5)

    page.mouse.move(*_cell(opened, 5, 2))
    assert "layer 2 · position 10" in opened.details()
    assert page.inner_text("#details-which") == "under the pointer"
    for point in (overview, column_edge, row_edge, map_row, map_column):
        assert _changes(opened, before, point), point

    # From the map to the figure.
    page.mouse.move(*_on_map(opened, 10, 4))
    opened.quiet()
    assert "position 10" in opened.details()
    for point in (overview, column_edge, map_row, map_column):
        assert _changes(opened, before, point), point
    state = opened.state()
    weight = trace["window"][int(state["mapLayer"]), int(state["mapHead"]), 10, 4]
    assert f"weight {weight:.3f}" in page.inner_text("#tip")

    # Where nothing is hovered, nothing but the selected cell is marked.
    page.mouse.move(1, 1)
    opened.quiet()
    assert page.inner_text("#details-which") == "selected"
    assert "layer 5 · position 6" in opened.details()
    for point in (overview, column_edge, row_edge, map_row, map_column):
        assert not _changes(opened, before, point), point
    opened.assert_clean()


def test_heads_and_text_share_the_selection(open_page, trace):
    scores = {"head_entropy": (("layer", "score_head"), trace["entropy"].mean(-1))}
    scored = Trace(trace.dataset.assign(scores))
    opened = open_page(
        scored,
        observations=observe(scored),
        fragment="#view=lens&a=5&b=17&col=6&row=5",
        height=1400,
    )
    page = opened.page
    facts = page.evaluate("JSON.parse(document.querySelector('#report').textContent).gridSizes")
    wide_cell, high_cell = facts["grid"]["wide"]["cell"]
    left, top = opened.corner("#grid")
    head = (left + 1.3 * wide_cell, top + (LAYERS - 2 - 0.6) * high_cell)  # layer 2, head 1
    row_edge = (_cell(opened, 9, 0)[0], _cell(opened, 0, 2)[1] - SIZE.height / LAYERS / 2)
    frame_edge = (left + wide_cell, head[1])
    opened.quiet()
    before = opened.pixels()

    page.mouse.move(*head)
    opened.quiet()
    assert "layer 2, head 1 · position 6" in opened.details()
    assert _changes(opened, before, row_edge)
    page.mouse.move(*_cell(opened, 5, 2))
    opened.quiet()
    assert _changes(opened, before, (left, head[1]))  # the row of layer 2 in the grid
    token = page.locator("#text [data-at='10']").first
    token.hover()
    assert "position 10" in opened.details()
    column_edge = (opened.corner()[0] + SIZE.left + 5 / 12 * SIZE.section, _cell(opened, 0, 4)[1])
    assert _changes(opened, before, column_edge)

    page.mouse.click(*head)
    page.mouse.move(1, 1)
    state = opened.state()
    assert (state["view"], state["rows"], state["row"], state["head"]) == (
        "attention", "layers", "2", "1",
    )  # fmt: skip
    assert (state["mapLayer"], state["mapHead"], state["col"]) == ("2", "1", "6")
    assert "layer 2, head 1 · position 6" in opened.details()
    assert _changes(opened, before, frame_edge)

    # A token that is not in the section brings the section with it.
    opened.go("view=attention&head=1&row=2&a=10&b=17&col=12")
    page.evaluate("scrollTo(0, 0)")
    page.locator("#text [data-at='6']").first.click()
    page.mouse.move(1, 1)
    state = opened.state()
    assert state["col"] == "6"
    assert int(state["a"]) <= 6 < int(state["b"])
    assert "layer 2, head 1 · position 6" in opened.details()
    opened.assert_clean()


def test_a_click_in_one_part_selects_in_all(open_page, trace):
    opened = open_page(trace, fragment="#view=lens&a=5&b=17&col=6&row=5", height=4800)
    page = opened.page
    for table in ("table-lens-layers", "table-window"):
        page.evaluate("(id) => document.getElementById(id).closest('details').open = true", table)
    opened.quiet()

    def rows(table):
        return page.locator(f"#{table} tr.selected th").all_inner_texts()

    before = opened.pixels()
    page.mouse.click(*_cell(opened, 5, 2))
    page.mouse.move(1, 1)
    state = opened.state()
    assert (state["col"], state["row"], state["mapLayer"]) == ("10", "2", "2")
    assert page.input_value("#map-layer") == "2"
    assert rows("table-lens-layers") == ["2"]
    assert [text.split(" ")[0] for text in rows("table-window")] == ["10"]
    assert _changes(opened, before, _on_map(opened, 9.5, 3))
    # The cell has a frame of its own, also in the inset.
    x, y = _cell(opened, 5, 2)
    corner = (x, y - SIZE.height / LAYERS / 2)
    assert _changes(opened, before, corner)
    assert _changes(opened, before, (opened.corner()[0] + SIZE.inset / 2, corner[1]))

    page.mouse.click(*_on_map(opened, 13, 4))
    page.mouse.move(1, 1)
    state = opened.state()
    assert (state["col"], state["row"], state["mapLayer"]) == ("13", "2", "2")
    assert "layer 2 · position 13" in opened.details()

    page.select_option("#map-layer", "4")
    assert opened.state()["row"] == "4"
    assert "layer 4 · position 13" in opened.details()
    assert rows("table-lens-layers") == ["4"]
    opened.assert_clean()


def test_the_pane_keeps_its_height_and_takes_the_tooltips_place(open_page, trace):
    opened = open_page(trace, fragment="#view=lens&a=5&b=17&col=6&row=5")
    page = opened.page
    box = page.locator("#details").bounding_box()
    figure = page.locator("#section-figure").bounding_box()
    assert box["x"] > figure["x"] + figure["width"] - 1
    for column, row in ((0, 0), (5, 5), (11, 3)):
        page.mouse.move(*_cell(opened, column, row))
        opened.quiet()
        assert page.locator("#details").bounding_box() == box
        assert not page.locator("#tip").is_visible()
        shown = page.locator("#details-top-list li").all_inner_texts()
        logprobs = trace["lens_top_logprobs"][0, row, 5 + column]
        for text, logprob in zip(shown, logprobs, strict=True):
            assert f"{np.exp(logprob) * 100:.1f}\u00a0%" in text
    page.click("[data-view=attention]")
    page.mouse.move(*_cell(opened, 9, 3))
    opened.quiet()
    weights = trace["window"][3].mean(0)[14, :15]
    keys = page.locator("#details-keys-list li").all_inner_texts()
    for text, key in zip(keys, np.argsort(-weights), strict=False):
        assert f"({key})" in text
        assert f"{weights[key] * 100:.1f}\u00a0%" in text
    # On a narrower screen the pane stands below, and the tooltip waits until the pointer rests.
    page.set_viewport_size({"width": 1120, "height": 900})
    opened.quiet()
    page.mouse.move(*_cell(opened, 4, 3))
    opened.quiet()
    assert "layer 3" in page.inner_text("#tip")
    box = page.locator("#details").bounding_box()
    assert box["y"] > page.locator("#section-figure").bounding_box()["y"]
    opened.assert_clean()


def test_reset_opens_the_page_anew(open_page, trace):
    opened = open_page(trace)
    page = opened.page
    first, details = opened.address(), opened.details()
    page.focus("#figure")
    opened.press("ArrowLeft", "ArrowDown", "+", "i")
    page.click("[data-view=attention]")
    page.fill("#search", "capital")
    assert opened.address() != first
    page.click("#reset")
    page.mouse.move(1, 1)
    assert opened.details() == details
    assert opened.address() == ""
    assert page.locator(".pin").count() == 0
    assert page.input_value("#search") == ""
    assert page.locator("[data-view=lens]").get_attribute("aria-pressed") == "true"
    page.focus("#figure")
    opened.press("ArrowLeft", "ArrowRight", "ArrowLeft")
    assert opened.address() != ""
    opened.assert_clean()


def test_the_wheel_and_the_letter_keys_zoom_about_the_pointer(open_page, trace):
    opened = open_page(trace, fragment="#view=lens&a=5&b=17&col=6&row=5", height=700)
    page = opened.page
    page.evaluate("document.querySelector('#canvas').scrollIntoView({block: 'center'})")
    page.mouse.move(*_cell(opened, 8, 3))
    start = page.evaluate("scrollY")
    page.mouse.wheel(0, -50)
    _until(page, f"scrollY < {start}")  # nothing is focused: the page scrolls
    assert (opened.state()["a"], opened.state()["b"]) == ("5", "17")
    page.evaluate("document.querySelector('#figure').focus({preventScroll: true})")
    page.mouse.move(*_cell(opened, 8, 3))
    start = page.evaluate("scrollY")
    page.mouse.wheel(0, -40)
    now = {name: int(opened.state()[name]) for name in ("a", "b")}
    assert page.evaluate("scrollY") == start
    assert now["b"] - now["a"] == 8
    assert abs((13.5 - now["a"]) / 8 - 8.5 / 12) < 0.08
    # Over the overview the wheel scrolls, and where the section is the whole prompt already.
    opened.go(f"view=lens&a=0&b={N}&col=6&row=5")
    page.focus("#figure")
    page.mouse.move(*_cell(opened, 8, 3, N))
    start = page.evaluate("scrollY")
    page.mouse.wheel(0, 40)
    _until(page, f"scrollY > {start}")

    opened.go("view=lens&a=3&b=13&col=6&row=5")
    page.focus("#figure")
    page.mouse.move(*_cell(opened, 7, 3, 10))
    opened.quiet()
    opened.press("w")
    now = {name: int(opened.state()[name]) for name in ("a", "b")}
    assert now["b"] - now["a"] == 8
    assert now["a"] <= 10 < now["b"]
    assert abs((10.5 - now["a"]) / 8 - 0.75) < 0.08
    opened.press("s")
    assert int(opened.state()["b"]) - int(opened.state()["a"]) == 10
    left = int(opened.state()["a"])
    opened.press("d")
    assert int(opened.state()["a"]) == left + 3
    opened.press("a")
    assert int(opened.state()["a"]) == left
    assert opened.state()["col"] == "6"
    opened.assert_clean()


def test_a_search_dims_the_other_columns(open_page, trace):
    opened = open_page(trace, fragment="#view=lens&a=5&b=17&col=6&row=5")
    page = opened.page
    opened.quiet()
    before = opened.pixels()
    page.fill("#search", "Australia")
    opened.quiet()
    after = opened.pixels()
    hits = [i for i in range(12) if "Australia" in CHAT[5 + i]]
    assert hits
    for column in range(12):
        x, y = (round(c) for c in _cell(opened, column, 0))
        y += round(SIZE.height / LAYERS * 0.38)  # below the text
        if column in hits:
            np.testing.assert_array_equal(after[y, x], before[y, x])
        else:
            assert after[y, x].sum() > before[y, x].sum()
    page.fill("#search", "")
    opened.quiet()
    np.testing.assert_array_equal(opened.pixels()[y, x], before[y, x])


def test_the_navigation_marks_the_section_that_was_clicked(open_page, trace):
    opened = open_page(trace)
    page = opened.page
    for link in page.locator("nav.sections a").all():
        link.click()
        opened.quiet()
        marked = page.locator("nav.sections a[aria-current]").all_inner_texts()
        assert marked == [link.inner_text()]
    page.evaluate("scrollTo(0, 0)")
    opened.quiet()
    marked = page.locator("nav.sections a[aria-current]").all_inner_texts()
    assert marked in ([], ["Figure"])


def _long():
    return long(5000, layers=3, heads=3, read=400, window=32)


def _real():
    path = os.environ.get("ATTENTROPY_REAL")
    if path is None:
        pytest.skip("ATTENTROPY_REAL names no trace of a real model")
    return Trace.open(path)


@pytest.mark.parametrize("make", [synthetic, _long, _real])
def test_each_show_link_opens_the_cell_of_its_finding(open_page, make):
    trace = make()
    findings = observe(trace)
    opened = open_page(trace, observations=findings)
    page, shown = opened.page, 0
    for link in page.locator("[data-finding]").all():
        finding = findings[int(link.get_attribute("data-finding"))]
        link.evaluate("(link) => link.click()")
        state, details = opened.state(), opened.details()
        assert state["view"] == finding.view
        if finding.layer is not None:
            assert int(state["row"]) == finding.layer
            assert f"layer {int(trace['layer'][finding.layer])}" in details
        if finding.position is not None:
            assert int(state["a"]) <= finding.position == int(state["col"]) < int(state["b"])
        assert int(state["head"]) == (-1 if finding.head is None else finding.head)
        shown += _shows(page, finding, details)
    assert shown
    opened.assert_clean()


def _shows(page, finding, details):
    """Assert that a finding's value is the shown cell's, where it is one cell's; return whether."""
    if finding.value is None:
        return False
    if finding.statistic == "received" and finding.position is not None:
        in_view = page.locator("#section-map").evaluate(
            "(section) => Math.abs(section.getBoundingClientRect().top) < innerHeight / 2"
        )
        assert in_view or page.evaluate("scrollY + innerHeight >= document.body.scrollHeight - 99")
        return True
    if finding.position is None or finding.layer is None:
        return False
    value = page.inner_text("#details-value")
    if finding.statistic == "lens_entropy":
        assert abs(float(re.search(r"[\d.]+", value)[0]) - finding.value) < 0.006
    elif finding.statistic == "settling layer":
        assert f"layer {finding.value:.0f} · position {finding.position:,}" in details
    elif finding.statistic == "rehearsal":
        assert f"{finding.value * 100:.1f}" in details
    else:
        return False
    return True


def test_search_goes_to_positions_that_the_lens_read(open_page):
    trace = long(5000, layers=3, heads=3, read=400, window=32)
    lens = trace["lens_entropy"][0]
    is_read = np.isfinite(lens).any(0)
    unread = int(np.flatnonzero(~is_read[100:])[0]) + 100
    trace.dataset["token_text"].values[unread] = " unheard"
    trace.dataset["token_text"].values[unread + 900] = " unheard"
    opened = open_page(trace)
    page = opened.page
    page.fill("#search", "unheard")
    page.focus("#search")
    opened.press("Enter")
    state = opened.state()
    assert is_read[int(state["col"])]
    assert int(state["a"]) <= unread < int(state["b"])
    assert page.inner_text("#search-count") == "1 of 2"
    opened.press("Enter")
    assert page.inner_text("#search-count") == "2 of 2"
    assert is_read[int(opened.state()["col"])]
    opened.press("Shift+Enter")
    assert page.inner_text("#search-count") == "1 of 2"
    opened.assert_clean()
