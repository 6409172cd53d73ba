"""The figure on screens of different sizes, what it hatches, and its scale's switch."""

import numpy as np
import pytest

from attentropy.report.figures.sizes import wide
from traces import CHAT, synthetic

pytestmark = pytest.mark.browser

MISSING = 0xB9


def canvas_box(opened):
    """Return the canvas as left, top, right and bottom on the screen, and its own width."""
    return opened.page.evaluate(
        "() => { const canvas = document.querySelector('#canvas canvas');"
        " const { left, top, right, bottom } = canvas.getBoundingClientRect();"
        " return [left, top, right, bottom, Number(canvas.dataset.width)]; }"
    )


def columns(opened):
    shown = opened.state()
    return int(shown["b"]) - int(shown["a"])


@pytest.mark.parametrize("layers", [8, 30, 62, 126])
def test_the_whole_figure_is_on_the_first_screen(open_page, layers):
    opened = open_page(synthetic(layers=layers, window=False), height=900)
    _, top, _, bottom, _ = canvas_box(opened)
    assert top < 300
    assert bottom < 900


@pytest.mark.parametrize(
    ("width", "least", "most"), [(1920, 17, 17), (1440, 11, 11), (820, 6, 6), (420, 6, 6)]
)
def test_a_wide_screen_has_more_columns_and_none_has_smaller_letters(open_page, width, least, most):
    opened = open_page(synthetic(), width=width, height=860)
    left, top, right, _, own = canvas_box(opened)
    assert least <= columns(opened) <= most  # of the 17 that there are
    assert right - left == pytest.approx(own, abs=1.5)  # drawn as it is, not scaled down
    assert top < 860
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
    opened.assert_clean()


def test_the_figure_follows_the_width_of_the_window(open_page):
    opened = open_page(synthetic(), width=1440)
    own = canvas_box(opened)[4]
    start = int(opened.state()["a"])
    assert start == len(CHAT) - wide(6).columns
    opened.page.set_viewport_size({"width": 900, "height": 1100})
    opened.page.wait_for_timeout(150)
    opened.quiet()
    left, _, right, _, smaller = canvas_box(opened)
    assert smaller < own
    assert right - left == pytest.approx(smaller, abs=1)
    x, y = opened.corner()
    size = wide(6)
    opened.page.mouse.move(x + size.left + 5, y + size.overview + size.above + size.height - 5)
    opened.quiet()
    assert f"layer 0 · position {start}" in opened.page.inner_text("#tip")


def test_few_tab_stops_come_before_the_figure(open_page):
    opened = open_page(synthetic())
    stops = 0
    opened.page.evaluate("document.activeElement.blur()")
    while not opened.page.evaluate("document.activeElement.id === 'figure'"):
        opened.press("Tab")
        stops += 1
        assert stops <= 6


def test_the_overview_of_a_sampled_lens_shows_its_gaps(open_page):
    tokens = [f"w{i}" for i in range(2048)]
    trace = synthetic(tokens, ["content"] * 2048, layers=4, window=False)
    is_read = np.zeros(2048, bool)
    is_read[::32] = True
    is_read[1536:] = True
    trace.dataset["lens_entropy"].values[:, :, ~is_read] = np.nan
    opened = open_page(trace, fragment="#view=lens&a=1024&b=1038&col=1024")
    pixels, size, (left, top) = opened.pixels(), wide(4), opened.corner()

    def share(x0, x1, y0, y1):
        patch = pixels[round(top + y0) : round(top + y1), round(left + x0) : round(left + x1)]
        grey = (patch == MISSING).all(-1)
        white = (patch == 255).all(-1)
        return grey.mean(), white.mean()

    sampled, _ = share(20, 600, 4, size.overview - 4)
    assert 0.75 < sampled < 0.9  # five of six pixels: one position in 32 was read
    whole, _ = share(650, 800, 4, size.overview - 4)
    assert whole == 0
    first = size.overview + size.above
    grey, white = share(size.left + 100, size.left + 600, first + 8, first + size.height - 8)
    assert grey > 0.6
    assert 0.1 < white < 0.25
    column, _ = share(size.left + 12, size.left + 36, first + 40, first + 60)
    assert column == 0  # the one that was read
    assert "560 of 2,048 positions" in opened.page.inner_text("#caption")
    opened.assert_clean()


def test_colours_are_fitted_to_the_data_and_can_be_on_the_whole_scale(open_page):
    trace = synthetic()
    values = trace.dataset["lens_entropy"].values
    np.minimum(values, 3.9, out=values)
    opened = open_page(trace, fragment="#view=lens&a=3&b=17&col=9")
    page, size = opened.page, wide(6)
    assert page.is_checked("#fit")
    assert "(fitted: 0 to 4 of 7.6 nats)" in page.inner_text("#caption")

    def red():
        left, top = opened.corner()
        ramp = left + size.total + 40 + size.legend - size.ramp / 2
        bottom = top + size.overview + size.above + size.height
        section = opened.pixels()[:, round(left + size.left) : round(left + size.total)]
        own = opened.pixels()[round(bottom - size.height + 3), round(ramp)]
        assert own[0] > 150 > own[2]  # the legend's top is red in both
        return ((section[..., 0] > 200) & (section[..., 2] < 130)).sum()

    fitted = red()
    page.uncheck("#fit")
    opened.quiet()
    assert "fitted" not in page.inner_text("#caption")
    assert opened.state()["fit"] == "false"
    assert red() < fitted / 4
    page.select_option("#stat", "probability")  # which has no fitted scale
    opened.quiet()
    assert not page.is_visible("#fit")
    opened.assert_clean()


def test_a_range_that_the_caller_fixed_wins(open_page):
    trace = synthetic()
    np.minimum(trace.dataset["lens_entropy"].values, 3.0, out=trace.dataset["lens_entropy"].values)
    opened = open_page(trace, ranges={"lens": (0.0, 7.0)})
    assert not opened.page.is_checked("#fit")
    assert "red 7.0 nats" in opened.page.inner_text("#caption")


def test_cells_that_name_the_answer_are_outlined(open_page):
    trace = synthetic((*CHAT, "Can", "berra"), generated=("Can", "berra"))
    trace.dataset.attrs["prompt"] = {"tokens": len(CHAT), "chat": True}
    trace.dataset["role"].values[-2:] = "generated"
    n = len(CHAT) + 2
    opened = open_page(trace, fragment=f"#view=lens&a={n - 14}&b={n}&col={n - 1}")
    top_ids = trace["lens_top_ids"][0, :, :, 0]
    (wanted,) = (i for i in np.unique(top_ids) if trace.text_of([i])[0] == "Can")
    pixels, size, (left, top) = opened.pixels(), wide(6), opened.corner()
    height = size.height / 6
    outlined = set()
    for row in range(6):
        for column in range(13):
            x = round(left + size.left + (column + 0.5) / 14 * size.section)
            y = top + size.overview + size.above + (5 - row) * height
            edge = pixels[round(y) + 1 : round(y) + 5, x - 8 : x + 8].astype(int)
            inner = pixels[round(y) + 7, x]
            if (np.abs(edge - inner).sum(-1).max(0) > 90).all():
                outlined.add((row, column))
    expected = {
        (row, column)
        for row in range(6)
        for column in range(13)
        if top_ids[row, n - 14 + column] == wanted
    }
    assert expected
    assert expected <= outlined
    top_row = {cell for cell in outlined if cell[0] == 5}
    assert outlined - top_row == {cell for cell in expected if cell[0] != 5}


def test_a_section_dragged_to_where_nothing_was_read_snaps_to_what_was(open_page):
    tokens = [f"w{i}" for i in range(2048)]
    trace = synthetic(tokens, ["content"] * 2048, layers=4, window=False)
    is_read = np.arange(2048) % 64 == 0
    trace.dataset["lens_entropy"].values[:, :, ~is_read] = np.nan
    opened = open_page(trace, fragment="#view=lens&a=0&b=14&col=0")
    size, (left, top) = wide(4), opened.corner()
    opened.page.mouse.click(left + (640 + 32) / 2048 * size.total, top + 20)
    shown = opened.state()
    assert any(is_read[int(shown["a"]) : int(shown["b"])])
    assert abs(int(shown["a"]) - 665) <= 64
