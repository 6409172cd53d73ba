"""The page in a real browser: offline, under its policy, and its pixels are the trace's values."""

import math
from dataclasses import dataclass

import numpy as np
import pytest

from attentropy.report.figures.sizes import wide
from attentropy.report.findings.highlights import MOST
from traces import CHAT, synthetic

pytestmark = pytest.mark.browser

HOSTILE = [
    "<|begin_of_text|>", "\n\n", "</script><script>window.pwned=1</script>", "<!--", "\u2028",
    "<img src=x onerror=window.pwned=1>", "😀", "", "", "مرحبا", "שלום", "日本語", "\x00\x1b[31m",
    "{{7*7}}", "javascript:alert(1)", "?", "<|eot_id|>", "assistant", "\n\n",
]  # fmt: skip
HOSTILE_ROLES = ["bos", *["content"] * 15, *["template"] * 3]


@dataclass
class Layout:
    """The positions of the figure's parts on a screenshot, in pixels."""

    left: float
    top: float
    size: object

    def section(self, column, columns, row, rows, at=(0.5, 0.2)):
        """Return a point of a cell of the section, near the cell's top edge, above its text."""
        x = self.left + self.size.left + (column + at[0]) / columns * self.size.section
        y = self.top + self.size.overview + self.size.above
        return x, y + (rows - 1 - row + at[1]) / rows * self.size.height

    def overview(self, position, n, row, rows):
        """Return the centre of a cell of the overview."""
        x = self.left + (position + 0.5) / n * self.size.total
        return x, self.top + (rows - 1 - row + 0.5) / rows * self.size.overview


def _layout(opened, rows):
    """Return where the parts of the wide figure are on the screen."""
    return Layout(*opened.corner(), wide(rows))


def _expected(value, high):
    """Return the diverging colour of a value: blue, white, red, linear between them."""
    stops = np.array([[0x21, 0x66, 0xAC], [0xF7, 0xF7, 0xF7], [0xB2, 0x18, 0x2B]], float)
    at = min(1, max(0, value / high)) * 2
    left = min(int(at), 1)
    return stops[left] * (1 - (at - left)) + stops[left + 1] * (at - left)


def _is_hatched(pixels, x, y, side=10):
    """Return whether white lines on the grey of missing values go through (x, y)."""
    x, y = round(x) - side // 2, round(y) - side // 2
    patch = pixels[y : y + side, x : x + side].reshape(-1, 3)
    grey, white = ((patch == value).all(1).mean() for value in (0xB9, 0xFF))
    return bool(grey > 0.6 and 0.1 < white < 0.25)


def _assert_colour(pixels, point, value, high):
    x, y = (round(c) for c in point)
    np.testing.assert_allclose(pixels[y, x], _expected(value, high), atol=3, err_msg=f"{x}, {y}")


@pytest.fixture(scope="module")
def trace():
    """Return one trace for all tests of the module, which must not change it."""
    return synthetic()


def test_the_page_opens_offline_without_a_complaint_before_and_after_dragging(open_page, trace):
    opened = open_page(trace)
    layout = _layout(opened, 6)
    mouse = opened.page.mouse
    x, y = layout.overview(12, len(CHAT), 3, 6)
    mouse.move(x, y)
    mouse.down()
    mouse.move(x - 120, y, steps=8)
    mouse.move(x - 300, y, steps=8)
    mouse.up()
    opened.quiet()
    assert "a=0&" in opened.address()
    opened.page.click("[data-view=attention]")
    opened.page.select_option("#rows", "heads")
    opened.page.select_option("#map-values", "entropy")
    opened.quiet()
    opened.assert_clean()


@pytest.mark.parametrize("moved", [False, True])
def test_cells_have_the_colour_of_their_value(open_page, trace, moved):
    fragment = "#view=lens&a=2&b=12&col=4" if moved else ""
    opened = open_page(trace, fragment=fragment, fresh=not moved)
    values, n = trace["lens_entropy"][0], len(CHAT)
    high = math.log(2000)
    shown = wide(6).columns
    start, columns, column = (2, 10, 4) if moved else (n - shown, shown, None)
    pixels, layout = opened.pixels(), _layout(opened, 6)
    random = np.random.default_rng(0)
    for row, position in zip(random.integers(0, 6, 24), random.integers(0, n, 24), strict=True):
        _assert_colour(pixels, layout.overview(position, n, row, 6), values[row, position], high)
    for row, i in zip(random.integers(0, 6, 24), random.integers(0, columns, 24), strict=True):
        point = layout.section(i, columns, row, 6)
        _assert_colour(pixels, point, values[row, start + i], high)
    if column is not None:
        for row in range(6):
            x = layout.left + 75
            y = layout.section(0, columns, row, 6)[1]
            _assert_colour(pixels, (x, y), values[row, column], high)


def test_attention_cells_have_the_colour_of_their_value(open_page, trace):
    fragment = "#view=attention&rows=layers&head=1&a=5&b=17&col=14"
    opened = open_page(trace, fragment=fragment, fresh=False)
    values = trace["entropy"][:, 1]
    pixels, layout = opened.pixels(), _layout(opened, 6)
    for row in range(6):
        for i in range(12):
            point = layout.section(i, 12, row, 6)
            _assert_colour(pixels, point, values[row, 5 + i], math.log(len(CHAT)))


def test_hovering_reads_the_exact_value(open_page, trace):
    opened = open_page(trace, fragment="#view=lens&a=5&b=17", fresh=False)
    x, y = _layout(opened, 6).section(8, 12, 4, 6)
    opened.page.mouse.move(x, y)
    opened.quiet()
    tooltip = opened.page.inner_text("#details")
    assert f"{trace['lens_entropy'][0, 4, 13]:.3f} nats" in tooltip
    assert opened.page.locator("#details-top-list li").count() == 5
    assert f"KL to the last layer {trace['lens_kl'][0, 4, 13]:.3f} nats" in tooltip
    target = trace.text_of([trace["target_ids"][13]])[0].replace(" ", "_")
    rank = trace["lens_rank"][0, 4, 13] + 1
    assert f"rank {rank}: {target}, the model's prediction" in tooltip
    assert "layer 4 · position 13" in tooltip


def test_clicking_a_column_moves_the_inset_and_the_arrow_keys_do_too(open_page, trace):
    opened = open_page(trace, fragment="#view=lens&a=5&b=17", fresh=False)
    opened.page.mouse.click(*_layout(opened, 6).section(3, 12, 2, 6))
    opened.quiet()
    assert "col=8&row=2" in opened.address()
    opened.page.focus("#figure")
    opened.page.keyboard.press("ArrowRight")
    opened.page.keyboard.press("ArrowUp")
    opened.quiet()
    assert "col=9&row=3" in opened.address()
    assert "layer 3 · position 9" in opened.page.inner_text("#live")


def test_no_name_of_the_charts_reaches_the_global_object(open_page, trace):
    opened = open_page(trace, fresh=False)
    names = opened.page.evaluate(
        "['vega', 'vegaEmbed', 'vegaLite', 'view', 'report']"
        ".filter((n) => n in window && !(window[n] instanceof Element))"
    )
    assert names == []


def test_a_long_prompts_overview_is_not_mirrored_and_its_values_are_true(open_page):
    n = 1500
    tokens = ["<s>", *[f" w{i}" for i in range(n - 1)]]
    trace = synthetic(tokens, ["bos"] + ["content"] * (n - 1), heads=1, window=False)
    values = trace["lens_entropy"][0].copy()
    values[:, : n // 2] = 0.0
    values[:3, n // 2 :] = 7.0
    values[3:, n // 2 :] = 3.5
    trace.dataset["lens_entropy"].values[0] = values
    opened = open_page(trace, fragment="#a=700&b=800&col=790")
    pixels, layout = opened.pixels(), _layout(opened, 6)
    for position in (300, 1100):
        for row in range(6):
            point = layout.overview(position, n, row, 6)
            _assert_colour(pixels, point, values[row, position], math.log(2000))
    for column in (10, 80):
        for row in range(6):
            point = layout.section(column, 100, row, 6)
            _assert_colour(pixels, point, values[row, 700 + column], math.log(2000))


def test_what_is_missing_or_not_read_is_grey_and_says_why(open_page):
    trace = synthetic()
    values = trace.dataset["lens_entropy"].values[0]
    values[2, 12] = np.nan
    values[3] = np.nan
    values[:, 8] = np.nan
    opened = open_page(trace)
    pixels, layout = opened.pixels(), _layout(opened, 6)
    columns = wide(6).columns
    start = len(CHAT) - columns
    for position, row, why in (
        (12, 2, "missing"),
        (8, 1, "did not read this position"),
        (11, 3, "not read this layer"),
    ):
        x, y = layout.section(position - start, columns, row, 6, (0.5, 0.22))
        assert _is_hatched(pixels, x, y)
        opened.page.mouse.move(x, y)
        opened.quiet()
        assert why in opened.page.inner_text("#details")


def test_hostile_tokens_are_shown_and_never_run(open_page):
    trace = synthetic(HOSTILE, HOSTILE_ROLES, words=[*HOSTILE[2:6], "مرحبا", "日本", "a", "😀"])
    trace.dataset.attrs["answer"] = "</b><script>window.pwned=1</script>"
    trace.dataset.attrs["model"]["name"] = "<script>window.pwned=1</script>"
    opened = open_page(trace)
    opened.page.click("[data-view=attention]")
    opened.page.mouse.move(*_layout(opened, 6).section(5, 12, 2, 6))
    opened.quiet()
    assert opened.page.evaluate("window.pwned") is None
    assert opened.errors == []
    assert opened.violations() == []
    assert opened.page.locator("img[onerror], script[src], iframe").count() == 0
    shown = opened.page.inner_text(".tokens")
    for text in (
        "</script><script>window.pwned=1</script>",
        "<!--",
        "😀",
        "مرحبا",
        "שלום",
        "日本語",
    ):
        assert text in shown


def test_without_scripts_the_picture_the_findings_and_the_table_are_there(open_page, trace):
    page = open_page(trace, scripts=False).page
    picture = page.locator("#figure .still img.wide.lit")
    assert picture.is_visible()
    assert picture.evaluate("(i) => i.naturalWidth") > 500
    assert 4 <= page.locator("ol.findings li").count() <= MOST
    assert page.locator("table").first.count() == 1
    assert not page.locator(".controls").first.is_visible()


@pytest.mark.parametrize("width", [420, 1440, 2560])
def test_the_page_never_scrolls_sideways(open_page, trace, width):
    opened = open_page(trace, width=width)
    for scheme in ("light", "dark"):
        opened.page.emulate_media(color_scheme=scheme)
        opened.quiet()
        assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
        figure = opened.page.locator("#figure")
        assert figure.evaluate("(f) => f.scrollWidth <= f.clientWidth")
    assert opened.errors == []


@pytest.mark.parametrize("n", [1, pytest.param(2048, marks=pytest.mark.slow)])
def test_any_length_opens(open_page, n):
    tokens, roles = [f"t{i}" for i in range(n)], ["content"] * n
    trace = synthetic(tokens, roles, window=n == 1, layers=2, heads=2)
    opened = open_page(trace)
    opened.page.click("[data-view=attention]")
    opened.quiet()
    assert opened.errors == []
    assert opened.violations() == []
