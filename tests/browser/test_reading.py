"""The page is readable: findings in view, sections, tables, CSV, print, and accessibility.

axe-core is evaluated through the debugging protocol, which the page's policy does not govern, so
that it runs on the page as it is. It needs promises, which a browser without scripts does not
settle: without scripts, it checks the file with its scripts removed.
"""

import csv
import io
import re
import shutil
import subprocess
from pathlib import Path

import axe_playwright_python
import numpy as np
import pytest

from attentropy.report.figures.sizes import wide
from attentropy.report.findings.highlights import MOST
from attentropy.report.findings.single import observe
from traces import CHAT, synthetic

pytestmark = pytest.mark.browser

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text("utf-8")
FORMULA = '=HYPERLINK("x"),1'
TOKENS = [FORMULA if token == " capital" else token for token in CHAT]


def _trace():
    return synthetic(TOKENS, seed=1)


def _violations(page):
    """Return axe's violations. It need not describe each node that passes, which takes long."""
    if page.evaluate("typeof axe === 'undefined'"):
        page.evaluate(AXE)
    passes, violations = page.evaluate(
        "axe.run({ resultTypes: ['violations'] }).then((results) => [results.passes.length,"
        " results.violations.map((v) => [v.id, v.nodes[0].html.slice(0, 200)])])"
    )
    assert passes > 20
    return violations


def _overflow(opened, width):
    page = opened.page
    page.set_viewport_size({"width": width, "height": 900})
    opened.quiet()
    return page.evaluate("document.documentElement.scrollWidth") - width


def _csv(opened, selector):
    with opened.page.expect_download() as download:
        opened.page.click(selector)
    text = Path(download.value.path()).read_bytes().decode("utf-8")
    assert text.endswith("\r\n")
    return text, list(csv.reader(io.StringIO(text)))


def test_the_first_screen_the_sections_and_the_csv_of_what_is_shown(open_page):
    trace = _trace()
    opened = open_page(trace, height=900)
    page = opened.page
    for selector in ("h1", ".evidence", ".tokens", "#canvas canvas"):
        box = page.locator(selector).bounding_box()
        assert box["y"] < 300
        assert box["y"] + box["height"] <= 900
    # The headline and its evidence stand for the findings on the first screen. Their cards follow
    # the figure and the navigation at once, over the whole width.
    findings = page.locator("ol.findings li")
    assert 3 <= findings.count() <= MOST
    figure, pane, links, cards = (
        page.locator(selector).bounding_box()
        for selector in ("#section-figure", "aside.details", "nav.sections", ".told")
    )
    ends = [box["y"] + box["height"] for box in (figure, pane)]
    assert 0 <= links["y"] - max(ends) < 30
    assert 0 <= cards["y"] - links["y"] - links["height"] < 30
    assert cards["x"] == figure["x"]
    assert cards["x"] + cards["width"] == pane["x"] + pane["width"]
    assert len({card.bounding_box()["y"] for card in findings.all()[:4]}) == 1

    # The navigation does not change the state in the address.
    before = page.evaluate("location.hash")
    for link in page.locator("nav.sections a").all():
        link.click()
        assert page.evaluate("location.hash") == before
    assert page.evaluate("document.activeElement.id") == "section-provenance"
    page.locator("ol.findings a[data-finding]").last.click()
    assert page.evaluate("location.hash") != before

    values = trace["lens_entropy"][0]
    page.click("[data-view=lens]")
    text, rows = _csv(opened, "[data-csv=figure]")
    assert rows[0] == ["layer", "head", "position", "token", "value", "positions", "lens skill"]
    skills = _trace().lens_skill().skill
    start = int(re.search(r"a=(\d+)", opened.address())[1])
    assert len(rows) == 1 + 6 * wide(6).columns
    for layer, _, position, token, value, many, skill in rows[1:]:
        assert float(skill) == pytest.approx(skills[int(layer)], abs=5e-5)
        assert float(value) == pytest.approx(values[int(layer), int(position)], rel=1e-6)
        assert (many, int(position) >= start) == ("1", True)
        if TOKENS[int(position)] == FORMULA:
            assert token == f"'{FORMULA}"
    assert '"\'=HYPERLINK(""x""),1"' in text

    for table in page.locator("table[id]").all():
        _, rows = _csv(opened, f"[data-csv={table.get_attribute('id')}]")
        body = table.locator("tbody tr")
        assert len(rows) == 1 + body.count()
        shown = [cell.strip() for cell in body.nth(1).locator("th, td").all_text_contents()]
        assert rows[2] == [
            f"'{cell}" if cell.startswith("=") else "" if cell == "missing" else cell
            for cell in shown
        ]
    assert (opened.errors, opened.violations()) == ([], [])
    assert opened.requests == []


def test_the_controls_stand_below_the_figure_which_ends_on_the_screen(open_page):
    opened = open_page(_trace(), height=900)
    page = opened.page
    for view in ("lens", "attention"):
        opened.go(f"view={view}")
        canvas, caption = (page.locator(s).bounding_box() for s in ("#canvas canvas", "#caption"))
        controls = [one.bounding_box() for one in page.locator(".drawing > .controls").all()]
        assert all(box["y"] >= caption["y"] + caption["height"] for box in controls)
        assert sum(box["height"] for box in controls) <= 150
        header = page.locator("#section-figure").bounding_box()["y"]
        assert canvas["y"] - header < 60
        assert canvas["y"] + canvas["height"] <= 900


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_nothing_overflows_and_axe_finds_nothing_in_light_dark_and_narrow(open_page, every):
    """`every`: axe, which takes seconds, runs with the dialog open and in the dark too."""
    opened = open_page(_trace())
    page = opened.page
    assert [_overflow(opened, width) for width in (420, 760, 1280, 2560, 1440)] == [0] * 5
    # Only one table of each kind: the others are alike, and axe takes long for every cell.
    for table in page.locator("#table-lens-layers, #table-window").all():
        table.evaluate("(t) => { t.closest('details').open = true; }")
    page.focus("#figure")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("i")
    page.keyboard.press("w")
    page.wait_for_selector("#pins-cards .pin")
    assert _violations(page) == []
    page.keyboard.press("?")
    page.wait_for_selector("dialog[open]")
    assert not every or _violations(page) == []
    page.keyboard.press("Escape")
    page.emulate_media(color_scheme="dark")
    opened.quiet()
    assert not every or _violations(page) == []
    assert _overflow(opened, 420) == 0
    assert _violations(page) == []


def test_on_paper_the_page_is_light_and_holds_the_findings_and_the_figure(open_page, tmp_path):
    trace = _trace()
    page = open_page(trace, dark=True).page
    data = page.pdf(format="A4")
    assert data.startswith(b"%PDF")
    page.emulate_media(media="print")
    assert page.locator("html").evaluate("(e) => getComputedStyle(e).backgroundColor") == (
        "rgb(255, 255, 255)"
    )
    assert not page.locator(".controls").first.is_visible()
    assert page.locator("#figure img.wide.lit").is_visible()
    assert not page.locator("#figure img.wide.unlit").is_visible()
    if shutil.which("pdftotext"):
        file = tmp_path / "page.pdf"
        file.write_bytes(data)
        text = subprocess.run(["pdftotext", file, "-"], capture_output=True, check=True).stdout
        plain = re.sub(r"\s+", "", text.decode("utf-8"))
        first = next(o for o in observe(trace) if o.id == "rehearsal")
        assert re.sub(r"\s+", "", first.text) in plain
        assert "Entropybylayerandposition" in plain
        assert "Entropy(nats)" in plain  # the figure's labels are text, not outlines


def test_without_scripts_everything_is_there_and_axe_finds_nothing(
    open_page, written, chromium, tmp_path
):
    trace = _trace()
    page = open_page(trace, scripts=False, width=420).page
    assert page.locator("#figure img.narrow.lit").is_visible()
    assert not page.locator("#figure img.wide").first.is_visible()
    assert page.locator(".panel img.lit:visible").count() == 9
    # What needs the script is hidden; the definitions of terms open without it.
    assert page.locator("button:not(.term):visible, select:visible").count() == 0
    page.locator(".told .term").first.click()
    assert page.locator(".definition:popover-open").count() == 1
    page.keyboard.press("Escape")
    page.locator("summary").last.click()
    first = len(TOKENS) - wide(6).columns  # of the magnified section
    assert page.locator("#table-attention thead th").nth(0).inner_text().startswith(f"{first} ")
    cells = page.locator("#table-attention tbody tr").first.locator("td.number")
    expected = np.mean(trace["entropy"][5, :, first], dtype=np.float64)
    assert float(cells.first.inner_text()) == pytest.approx(expected, rel=1e-3)
    assert page.evaluate("document.documentElement.scrollWidth") <= 420

    file = tmp_path / "bare.html"
    whole = written(trace).read_text("utf-8")
    file.write_text(re.sub(r"<script.*?</script>", "", whole, flags=re.S), "utf-8")
    context = chromium.new_context(viewport={"width": 420, "height": 900}, color_scheme="dark")
    bare = context.new_page()
    bare.goto(file.as_uri())
    assert _violations(bare) == []
    context.close()
