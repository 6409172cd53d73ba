"""A page of a long prompt in a real browser shows the trace's values, in pixels and in texts."""

import math

import numpy as np
import pytest

from attentropy.report import palette
from attentropy.report.figures import tilemap as attentionmap
from attentropy.report.figures.hatch import PERIOD
from attentropy.report.figures.sizes import wide
from attentropy.report.planes import make_tiles
from attentropy.report.read.opening_map import opening_layer
from long_traces import long

pytestmark = pytest.mark.browser

N, LAYERS = 131_072, 4
LENS_HIGH = np.log(128_256)


@pytest.fixture(scope="module")
def trace():
    return long(N, layers=LAYERS, heads=2, read=1500)


def _close(pixels, x, y, value, high, name="diverging"):
    expected = palette.colors(np.array([value]), 0, high, name)[0].astype(int)
    np.testing.assert_allclose(pixels[round(y), round(x)], expected, atol=4, err_msg=f"{x}, {y}")


def test_the_overview_is_the_mean_of_its_positions_or_their_extreme_by_choice(open_page, trace):
    opened = open_page(trace, fragment="#view=attention&a=60000&b=60010&col=60001")
    size = wide(LAYERS)
    values = trace["entropy"].mean(1)
    tiled = make_tiles(values, 64)
    high = math.log(N)
    for how, wanted in (("mean", tiled.mean), ("low", tiled.low), ("high", tiled.high)):
        opened.page.select_option("#how", how)
        opened.quiet()
        pixels, (left, top) = opened.pixels(), opened.corner()
        for row in range(LAYERS):
            y = top + (LAYERS - 1 - row + 0.5) / LAYERS * size.overview
            # Two columns lie under one screen pixel, which has the colour of one of them.
            for part in (0.04, 0.21, 0.35, 0.53, 0.67, 0.82, 0.95):
                pixel = round(part * size.total)
                first = int(pixel / size.total * N / 64)
                near = [wanted[row, first + d] for d in range(-1, 4)]
                expected = palette.colors(np.array(near), 0, high).astype(int)
                colour = pixels[round(y), round(left + pixel)]
                assert np.abs(expected - colour).max(-1).min() <= 4, (how, row, pixel)
    opened.assert_clean()


def test_a_section_anywhere_shows_single_positions(open_page, trace):
    opened = open_page(trace, fresh=False)
    values = trace["entropy"].mean(1)
    for columns in (12, 300, 2400):
        assert _wrong_cells(opened, values, 71_234, columns) == 0


def _wrong_cells(opened, values, start, columns):
    """Return how many cells of a section have another colour than their values."""
    opened.go(f"view=attention&a={start}&b={start + columns}&col={start + 3}")
    size = wide(LAYERS)
    pixels, (left, top) = opened.pixels(), opened.corner()
    top += size.overview + size.above
    wrong = 0
    for row in range(LAYERS):
        y = top + (LAYERS - 1 - row + 0.2) / LAYERS * size.height
        for pixel in range(70, size.section - 40, 56):
            at = start + pixel / size.section * columns
            per = 2 ** max(0, math.ceil(math.log2(columns / (2 * size.section))))
            first = int(at) // per * per
            spread = math.ceil(columns / size.section) + per
            near = [
                values[row, p : p + per].mean() for p in range(first - spread, first + spread + 1)
            ]
            expected = palette.colors(np.array(near), 0, math.log(N)).astype(int)
            colour = pixels[round(y), round(left + size.left + pixel)]
            if columns == 12:
                expected = palette.colors(values[row, [int(at)]], 0, math.log(N)).astype(int)
            wrong += np.abs(expected - colour).max(-1).min() > 4
    return wrong


def test_the_inset_is_its_column(open_page, trace):
    column = int(np.flatnonzero(np.isfinite(trace["lens_entropy"][0, 0]))[500])
    opened = open_page(
        trace, fragment=f"#view=lens&a={column - 5}&b={column + 5}&col={column}", fresh=False
    )
    size = wide(LAYERS)
    pixels, (left, top) = opened.pixels(), opened.corner()
    top += size.overview + size.above
    for row in range(LAYERS):
        y = top + (LAYERS - 1 - row + 0.1) / LAYERS * size.height
        _close(pixels, left + 75, y, trace["lens_entropy"][0, row, column], LENS_HIGH)


def test_a_lens_that_read_a_sample_leaves_colour_in_every_part_of_the_overview(open_page, trace):
    fragment = "#view=lens&a=60000&b=60010&col=60001"
    opened = open_page(trace, fragment=fragment, fresh=False)
    size = wide(LAYERS)
    pixels, (left, top) = opened.pixels(), opened.corner()
    row = pixels[round(top + 10), round(left) + 4 : round(left + size.total) - 4]
    colourful = (row != 0xB9).any(-1)
    assert 0.1 < colourful.mean() < 0.4  # lines of colour between those of what was not read
    gaps = np.diff(np.flatnonzero(colourful))
    assert gaps.max() <= 2 * PERIOD


def test_hovering_says_what_is_exact_and_what_stands_for_many(open_page, trace):
    opened = open_page(trace, max_bytes=1_000_000, fragment="#view=attention&a=71234&b=71246")
    size = wide(LAYERS)
    left, top = opened.corner()
    opened.page.mouse.move(left + size.left + 200, top + size.overview + size.above + 20)
    opened.quiet()
    tooltip = opened.page.inner_text("#details")
    assert "mean of positions" in tooltip
    assert ", min " in tooltip
    assert "the page has no values of single positions here" in tooltip
    opened.page.evaluate(f"location.hash = 'view=attention&a={N - 12}&b={N}&col={N - 1}'")
    opened.page.reload()
    opened.settle()
    opened.page.mouse.move(left + size.left + 200, top + size.overview + size.above + 20)
    opened.quiet()
    position = N - 12 + int(200 / size.section * 12)
    value = trace["entropy"][LAYERS - 1, :, position].mean()
    assert f"attention entropy {value:.3f} nats, {position + 1:,} visible keys" in (
        opened.page.inner_text("#details")
    )


def test_the_map_its_region_and_its_window_have_the_colours_of_their_shares(open_page, trace):
    start = N - 40_000
    fragment = f"#q0={start}&q1={N}&k0={start}&k1={N}"
    opened = open_page(trace, height=4200, fragment=fragment, fresh=False)
    opened.page.wait_for_selector(".drawn > #map")
    opened.quiet()
    pixels = opened.pixels()
    left, top = opened.corner("#map")
    size = attentionmap.WIDE
    layer = opening_layer(trace)
    weights = trace["map"][layer, 0]
    side = int(trace["map_query"][1])
    first = int(trace["window_query"][0])
    exact = trace["window"][layer, 0]
    for q, k in ((0.9, 0.2), (0.5, 0.5), (0.75, 0.01), (0.95, 0.9)):
        _share(pixels, left, top, size, q, k, weights, lambda p: int(p * N) // side)
        place = (left + size.part[0], top + size.part[1])
        _share(pixels, *place, size, q, k, weights, lambda p: int(start + p * (N - start)) // side)
        place = (left + 2 * size.part[0], top)
        _share(pixels, *place, size, q, k, exact, lambda p: int(p * (N - first)))
    x, y = round(left + 0.9 * size.side), round(top + 0.1 * size.side)
    assert tuple(pixels[y, x]) == (255, 255, 255)  # keys after the query
    assert opened.errors == []


def _share(pixels, left, top, size, q, k, values, index):
    """Assert that the pixel at shares q, k of a panel has the colour of a cell next to it."""
    row, column = index(q), index(k)
    near = values[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2].ravel()
    at = 1 + np.log10(np.maximum(near, attentionmap.LEAST)) / 4
    expected = palette.colors(at, 0, 1, "weight").astype(int)
    colour = pixels[round(top + q * size.side), round(left + k * size.side)]
    assert np.abs(expected - colour).max(-1).min() <= 4, (q, k, colour)


def test_dragging_the_map_moves_the_region_and_the_address(open_page, trace):
    opened = open_page(trace, height=4200, fresh=False)
    opened.page.wait_for_selector(".drawn > #map")
    opened.quiet()
    left, top = opened.corner("#map")
    side = attentionmap.WIDE.side
    mouse = opened.page.mouse
    mouse.move(left + 0.2 * side, top + 0.4 * side)
    mouse.down()
    mouse.move(left + 0.3 * side, top + 0.6 * side, steps=4)
    mouse.up()
    opened.quiet()
    state = dict(part.split("=") for part in opened.address().split("&"))
    assert abs(int(state["k0"]) - 0.2 * N) < 0.01 * N
    assert abs(int(state["q1"]) - 0.6 * N) < 0.01 * N


def test_the_note_of_the_heads_counts_those_above_the_threshold(open_page, trace):
    opened = open_page(trace, height=4200, fresh=False)
    opened.page.wait_for_selector(".drawn > #roster")
    opened.page.select_option("#score", "1")
    opened.quiet()
    above = int((trace["head_sink"] > 0.3).sum())
    note = opened.page.inner_text("#roster-note")
    assert note.startswith(f"{above} of {LAYERS * 2} heads above 0.3")
    assert opened.page.input_value("#grid-score") == "1"  # both grids show the same
    opened.page.select_option("#score", "4")
    opened.quiet()
    assert "induction was not measured" in opened.page.inner_text("#roster-note")


@pytest.mark.parametrize("width", [420, 1440])
def test_a_long_page_never_scrolls_sideways(open_page, trace, width):
    opened = open_page(trace, width=width, height=4200, max_bytes=1_000_000)
    for scheme in ("light", "dark"):
        opened.page.emulate_media(color_scheme=scheme)
        opened.quiet()
        assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
        for name in ("figure", "map-figure", "roster-figure"):
            assert opened.page.locator(f"#{name}").evaluate("(f) => f.scrollWidth <= f.clientWidth")
    assert opened.errors == []
    assert opened.violations() == []


def test_what_an_unfinished_run_did_not_reach_is_grey_and_says_why(open_page):
    trace = long(9000, layers=3, heads=2, read=500)
    for name in ("entropy", "lens_entropy"):
        trace.dataset[name].values[..., 4000:] = np.nan
    state = {"tokens": 9000, "done": 4000, "chunks": 1, "reason": "out of memory"}
    part = type(trace)(trace.dataset.assign_attrs(partial=state))
    opened = open_page(part, fragment="#view=attention&a=6000&b=6012&col=6001")
    size = wide(3)
    left, top = opened.corner()
    x, y = left + size.left + 300, top + size.overview + size.above + 12
    patch = opened.pixels()[round(y) - 5 : round(y) + 5, round(x) - 5 : round(x) + 5]
    assert (patch == 0xB9).all(-1).mean() > 0.6  # the rest are white lines
    opened.page.mouse.move(x, y)
    opened.quiet()
    assert "the run stopped after 4,000 tokens (out of memory)" in opened.page.inner_text(
        "#details"
    )
    assert "4,000 of 9,000" in opened.page.inner_text(".banner")
