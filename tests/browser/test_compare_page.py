"""The page of two traces in a real browser: its colours are B − A, its gaps say why."""

import numpy as np
import pytest

from attentropy.engine.trace.dataset import Trace
from attentropy.report.compare.difference import ONLY_A, ONLY_B, compare
from attentropy.report.figures.sizes import narrow, wide
from attentropy.report.findings.compared import observe
from attentropy.report.read.views import read_view
from attentropy.report.units import signed
from traces import synthetic

pytestmark = pytest.mark.browser

FIRST = [
    "<|begin_of_text|>", "\n\n", "</script><script>window.pwned=1</script>", " the", "🦘",
    "<img src=x onerror=window.pwned=1>", " of", "<|eot_id|>", "assistant", "\n\n",
]  # fmt: skip
SECOND = [*FIRST[:3], " <b>new</b>", *FIRST[4:]]
WORDS = ("<i>France", "{{7*7}}", "שלום", "→", "Sydney")


def _pair():
    """Yield two traces whose fourth token differs, with one id for each text."""
    ids = {text: i for i, text in enumerate(dict.fromkeys([*FIRST, *SECOND]))}
    for seed, tokens in enumerate((FIRST, SECOND)):
        trace = synthetic(tokens, seed=seed, words=WORDS, window=False)
        numbers = np.array([ids[text] for text in tokens], np.int32)
        yield Trace(trace.dataset.assign_coords(token_ids=("position", numbers)))


@pytest.fixture(scope="module")
def pair():
    """Return two traces and their difference."""
    a, b = _pair()
    return a, b, compare(a, b, ("</title><script>window.pwned=1</script>.zarr", "b.zarr"))


def _expected(value, limit):
    """Return a value's diverging colour: blue at −limit, white at zero, red at the limit."""
    stops = np.array([[0x21, 0x66, 0xAC], [0xF7, 0xF7, 0xF7], [0xB2, 0x18, 0x2B]], float)
    at = min(1, max(-1, value / limit)) + 1
    left = min(int(at), 1)
    return stops[left] * (1 - (at - left)) + stops[left + 1] * (at - left)


def test_the_page_shows_what_differs_and_runs_nothing_of_the_traces(open_page, pair):
    a, b, of = pair
    opened = open_page(of, observations=observe(of), fragment="#a=0&b=11&col=6")
    page, size = opened.page, wide(6)
    left, top = opened.corner()

    def point(row, column):
        x = left + size.left + (column + 0.5) / 11 * size.section
        y = top + size.overview + size.above + (5 - row + 0.12) / 6 * size.height
        return x, y

    def read_tooltip(row, column):
        page.mouse.move(*point(row, column))
        opened.quiet()
        return page.inner_text("#details")

    def coloured(shown):
        pixels = opened.pixels()
        for row in range(6):
            for column in range(11):
                x, y = map(round, point(row, column))
                value = shown.values[row, column]
                if not of.both[column]:  # white lines on grey
                    assert pixels[y, x].tolist() in ([0xB9] * 3, [0xFF] * 3)
                    continue
                wanted = _expected(value, shown.scale.high)
                np.testing.assert_allclose(pixels[y, x], wanted, atol=3, err_msg=f"{row} {column}")

    coloured(read_view(of, "lens"))
    only_a, only_b = (int(np.flatnonzero(of.kind == kind)[0]) for kind in (ONLY_A, ONLY_B))
    assert "only in A" in read_tooltip(2, only_a)
    assert "no difference: B has no token here" in read_tooltip(2, only_a)
    assert "no difference: A has no token here" in read_tooltip(2, only_b)
    values = [t.lens("lens_entropy")[2] for t in (a, b)]
    assert f"B: lens entropy {values[1][3]:.3f} nats" in read_tooltip(2, only_b)
    lines = read_tooltip(2, 7)
    change = values[1][6] - values[0][6]
    assert f"B − A = {signed(change, 3)} nats" in lines
    assert f"A: lens entropy {values[0][6]:.3f} nats, top token" in lines
    assert f"B: lens entropy {values[1][6]:.3f} nats, top token" in lines

    page.click("[data-view=attention]")
    opened.quiet()
    coloured(read_view(of, "attention"))
    lines = read_tooltip(4, 9)
    means = [t["entropy"].mean(1)[4] for t in (a, b)]
    assert f"A: attention entropy {means[0][8]:.3f} nats, " in lines
    assert "(9 visible keys), most heads attend most to" in lines
    page.select_option("#head", "1")
    opened.quiet()
    single = [t["entropy"][4, 1, 8] for t in (a, b)]
    assert f"B: attention entropy {single[1]:.3f} nats" in read_tooltip(4, 9)
    page.focus("#figure")
    page.keyboard.press("ArrowRight")
    assert "B − A" in page.inner_text("#live")

    assert page.inner_text("del >> nth=0") == FIRST[3]
    assert page.inner_text("ins >> nth=0") == SECOND[3]
    assert page.locator("tr.differs").count() >= 1
    assert page.evaluate("window.pwned") is None
    opened.assert_clean()


@pytest.mark.slow
def test_a_telephones_inset_writes_a_over_b_where_one_line_is_too_short(open_page, pair):
    of = pair[2]
    opened = open_page(
        of, observations=observe(of), width=440, height=2400, fragment="#a=0&b=2&col=1"
    )
    size, (left, top) = narrow(6), opened.corner()
    row_high = size.height / 6
    pixels = opened.pixels()
    ids = of.lens("lens_top_ids")[:, 1]
    for row, (one, other) in enumerate(ids):
        names = of.text_of([one, other])
        y = top + size.overview + size.above + (5 - row) * row_high
        cell = pixels[
            round(y) + 2 : round(y + row_high) - 2, round(left) + 3 : round(left) + size.inset - 3
        ]
        ink = (np.abs(cell - np.median(cell, (0, 1))).max(-1) > 60).any(1)
        high = np.ptp(np.flatnonzero(ink))  # one line is about 12 pixels high, two are 14 more
        two = one != other and len("".join(names)) >= size.inset_letters
        assert (high > 18) == two, names
    assert opened.errors == []


def test_numbers_that_the_script_writes_have_a_real_minus_and_csv_a_plain_one(open_page, pair):
    *_, of = pair
    opened = open_page(of, observations=observe(of), fragment="#a=0&b=11&col=6")
    page = opened.page
    page.click("#pin-section")
    page.click("#pin-column")
    opened.settle()
    for table in page.query_selector_all("td.number, .pin td"):
        assert not table.text_content().startswith("-")
    numbers = page.query_selector_all("#section-tables td.number")
    assert any(cell.text_content().startswith("−") for cell in numbers)
    with page.expect_download() as download:
        page.locator("#section-tables button.csv").first.click()
    text = download.value.path().read_text("utf-8")
    assert ",-0." in text
    assert ",−" not in text
    opened.assert_clean()
