"""The figure in a browser where some layers' lens cannot be read."""

import pytest

from attentropy import compare
from attentropy.report.figures.sizes import wide
from skilled import MIXED, skilled

pytestmark = pytest.mark.browser

SIZE = wide(len(MIXED))
TOTAL = 5.2  # the height of four collapsed and four full rows
GUESS = "further from the model's output than a uniform guess"


def height(row):
    """Return the middle of a row from the section's top, in pixels of the figure."""
    edge = 0.3 * row + 0.15 if row < 4 else 1.2 + (row - 4) + 0.5
    return (1 - edge / TOTAL) * SIZE.height


def point(opened, row, x):
    left, top = opened.corner()
    return left + SIZE.left + x, top + SIZE.overview + SIZE.above + height(row)


def test_a_click_a_tooltip_and_the_keys_find_collapsed_rows(open_page):
    opened = open_page(skilled(), fragment="#view=lens&a=4&b=16&col=8")
    page = opened.page
    assert opened.state()["row"] == "7"  # opens at what the model says last
    for row in (0, 3, 4, 7):
        page.mouse.click(*point(opened, row, 5))
        opened.quiet()
        assert opened.state()["row"] == str(row)
        tip = page.inner_text("#details")
        assert f"layer {row} · position" in tip
        assert (GUESS in tip) == (row < 4)
    page.mouse.move(*point(opened, 1, SIZE.section + 18))
    assert "lens skill −0.90 (" in opened.details()
    opened.assert_clean()


def test_the_dots_can_be_switched_off_and_the_address_keeps_that(open_page):
    opened = open_page(skilled())
    page = opened.page
    dotted = opened.pixels()
    assert f"dotted: layers 0–3, {GUESS}" in page.inner_text("#caption")
    page.uncheck("#dots")
    opened.quiet()
    assert "dotted" not in page.inner_text("#caption")
    assert (opened.pixels() != dotted).any()
    assert opened.state()["dots"] == "false"
    page.check("#dots")
    page.mouse.move(1, 1)
    opened.quiet()
    assert (opened.pixels() == dotted).mean() > 0.99
    page.select_option("#stat", "lens_kl")  # which compares with the output itself
    opened.quiet()
    assert "dotted" not in page.inner_text("#caption")
    page.click("[data-view=attention]")
    opened.quiet()
    assert "skill" not in page.inner_text("#caption")
    opened.assert_clean()


def test_a_pinned_column_has_the_skill_of_each_row(open_page):
    opened = open_page(skilled())
    page = opened.page
    page.click("#pin-column")
    opened.quiet()
    rows = opened.pinned(0)[1:]
    assert [row[-1] for row in rows] == [f"{s:.2f}".replace("-", "−") for s in reversed(MIXED)]
    assert page.locator("#pins-cards td.unread").count() == 4
    opened.assert_clean()


def test_pages_whose_layers_are_all_readable_have_nothing_to_switch(open_page):
    opened = open_page(skilled((0.9,) * 8))
    assert not opened.page.locator("#dots").count()
    assert "Lens readable in all 8 layers" in opened.page.inner_text("#caption")


def test_a_comparison_marks_layers_that_one_side_cannot_read(open_page):
    opened = open_page(compare(skilled(), skilled((0.9,) * 8, seed=1)))
    page = opened.page
    assert "Lens readable in both in layers 6–7 of 8" in page.inner_text("#caption")
    page.mouse.move(*point(opened, 0, 5))
    assert "lens skill A −1.20 (" in page.inner_text("#details")
    assert "lens skill A" in page.inner_text("#section-layers thead")
    opened.assert_clean()
