"""Definitions open by mouse and keyboard, and the reader can switch the template box off."""

import pytest

from attentropy.report.glossary import find
from traces import synthetic

pytestmark = pytest.mark.browser


def test_a_term_opens_its_definition_by_mouse_and_by_keyboard(open_page):
    opened = open_page(synthetic())
    page = opened.page
    for section, name in ((".told", "rehearsal"), ("#caption", "lens entropy")):
        term = find(name)
        button = page.locator(f"{section} [popovertarget=term-{term.key}]")
        definition = page.locator(f"#term-{term.key}")
        assert button.get_attribute("title") == term.definition
        assert not definition.is_visible()
        button.click()
        assert term.definition in definition.inner_text()
        page.keyboard.press("Escape")
        assert not definition.is_visible()
        button.focus()
        page.keyboard.press("Enter")
        assert definition.is_visible()
        box, width = definition.bounding_box(), page.viewport_size["width"]
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
        page.keyboard.press("Escape")
    opened.assert_clean()


def test_the_template_box_can_be_switched_off_and_the_address_keeps_that(open_page):
    opened = open_page(synthetic())
    page = opened.page
    framed = opened.pixels()
    assert "Blue box: " in page.inner_text("#caption")
    page.uncheck("#box")
    opened.quiet()
    plain = opened.pixels()
    assert (framed != plain).any()
    assert "Blue box" not in page.inner_text("#caption")
    assert opened.state()["box"] == "false"
    page.check("#box")
    page.mouse.move(1, 1)
    opened.quiet()
    assert (opened.pixels() == framed).mean() > 0.99
    again = open_page(synthetic(), fragment="#box=false")
    assert not again.page.is_checked("#box")
    assert "Blue box" not in again.page.inner_text("#caption")
    assert open_page(synthetic(), fragment="#box=constructor").page.is_checked("#box")
