"""The tables of map, window and spread, and their CSV files, hold the charts' values."""

import csv
import io
import re
from pathlib import Path

import numpy as np
import pytest

from attentropy.report.read.opening_map import opening_layer
from long_traces import long
from traces import CHAT, synthetic

pytestmark = pytest.mark.browser

HOSTILE = "<img src=x onerror=window.pwned=1>"
TOKENS = [HOSTILE if token == " capital" else token for token in CHAT]


@pytest.fixture(scope="module")
def trace():
    return synthetic(TOKENS)


@pytest.fixture(scope="module")
def lengthy():
    return long(1500, layers=3, heads=3, read=400, window=32)


def _table(page, id):
    """Return the title, headings and rows of a table as the page shows them."""
    table = page.locator(f"#{id}")
    title = table.locator("caption").text_content()
    twin = page.locator(f".twin:has(#{id})")
    assert twin.locator("summary").text_content() == f"Table: {title}"
    assert twin.locator(".scroll").get_attribute("aria-label") == title
    assert twin.locator(".csv").get_attribute("aria-label") == f"Export as CSV: {title}"
    head, *body = table.evaluate(
        "(t) => [...t.rows].map((row) => [...row.cells].map((cell) => cell.textContent))"
    )
    return title, head, body


def _csv(opened, id):
    with opened.page.expect_download() as download:
        opened.page.click(f"[data-csv={id}]")
    text = Path(download.value.path()).read_bytes().decode("utf-8")
    return list(csv.reader(io.StringIO(text)))


def _same(written, values, atol=1e-6):
    numbers = np.array([[float(cell) for cell in row] for row in written])
    np.testing.assert_allclose(numbers, values, rtol=6e-4, atol=atol)


def test_the_windows_table_follows_layer_head_and_values(open_page, trace):
    opened = open_page(trace)
    page = opened.page
    window, n = trace["window"], len(TOKENS)
    page.locator("#map").scroll_into_view_if_needed()
    page.wait_for_selector("#map canvas")
    opened.quiet()
    _, head, rows = _table(page, "table-window")
    opening = int(page.input_value("#map-layer"))
    _same([row[1:] for row in rows], window[opening, int(page.input_value("#map-head"))])
    page.select_option("#map-layer", "2")
    page.select_option("#map-head", "1")
    exported = _csv(opened, "table-window")  # at once, without waiting for the table
    title, head, rows = _table(page, "table-window")
    assert title.startswith("Attention weights of layer 2, head 1, ")
    assert exported == [head, *rows]
    assert len(rows) == len(head) - 1 == n
    assert rows[5][0] == "5 What"
    assert rows[8][0].startswith("8 <img␣src")
    _same([row[1:] for row in rows], window[2, 1])
    page.select_option("#map-values", "entropy")
    opened.quiet()
    title, _, rows = _table(page, "table-window")
    assert title.startswith(
        "Contributions (nats) of keys to the entropy of a query of layer 2, head 1"
    )
    p = window[2, 1].astype(float)
    _same([row[1:] for row in rows], -p * np.log(np.where(p > 0, p, 1)))
    np.testing.assert_allclose(
        [sum(map(float, row[1:])) for row in rows], trace["entropy"][2, 1], atol=0.003
    )
    assert page.evaluate("window.pwned") is None
    assert (opened.errors, opened.requests, opened.violations()) == ([], [], [])


def test_an_address_opens_the_table_of_its_layer(open_page, trace):
    opened = open_page(trace, fragment="#mapLayer=3&mapHead=0")
    opened.page.locator("#map").scroll_into_view_if_needed()
    opened.page.wait_for_selector("#map canvas")
    opened.quiet()
    title, _, rows = _table(opened.page, "table-window")
    assert "layer 3, head 0" in title
    _same([row[1:] for row in rows], trace["window"][3, 0])


def _tiles(trace, layer, region):
    """Return (share, queries, keys) of the tiles that overlap a region, the largest share first."""
    starts, n = trace["map_query"], trace.dataset.sizes["position"]
    ends = np.append(starts[1:], n)
    q0, q1, k0, k1 = region
    tiles = [
        (float(trace["map"][layer, 0, r, c]), (starts[r], ends[r]), (starts[c], ends[c]))
        for r in range(starts.size) for c in range(r + 1)
        if starts[r] < q1 and ends[r] > q0 and starts[c] < k1 and ends[c] > k0
    ]  # fmt: skip
    return sorted(tiles, key=lambda tile: -tile[0])


def test_a_long_prompts_tables_follow_layer_and_frame(open_page, lengthy):
    trace = lengthy
    opened = open_page(trace)
    page = opened.page
    page.locator("#spread").scroll_into_view_if_needed()
    page.wait_for_selector("#spread canvas")
    page.select_option("#spread-layer", "2")
    opened.quiet()
    title, _, rows = _table(page, "table-spread")
    assert title.endswith("layer 2")
    assert _csv(opened, "table-spread")[1:] == rows
    for span, *values in rows:
        start, last = map(int, span.split(" to "))
        heads = trace["entropy"][2][:, start : last + 1]
        ceiling = np.log((start + last + 1) // 2 + 1)
        # A row of the table covers several of the page's tiles, each a mean over its positions.
        assert float(values[0]) == pytest.approx(heads.mean(), abs=2e-3)
        assert heads.min() - 2e-3 <= float(values[1]) <= heads.mean(1).min() + 2e-3
        assert float(values[3]) == pytest.approx(ceiling, abs=2e-3)

    page.locator("#map").scroll_into_view_if_needed()
    page.wait_for_selector("#map canvas")
    page.select_option("#map-layer", "1")
    page.focus("#map-figure")
    for key in ("ArrowUp", "-", "ArrowLeft"):
        page.keyboard.press(key)
    opened.quiet()
    region = [
        int(re.search(rf"{name}=(\d+)", opened.address())[1]) for name in ("q0", "q1", "k0", "k1")
    ]
    for id, within in (("table-map", [0, 1500, 0, 1500]), ("table-region", region)):
        title, _, rows = _table(page, id)
        assert "layer 1, mean over heads" in title
        wanted = _tiles(trace, 1, within)[:64]
        _same([row[2:] for row in rows], [[tile[0]] for tile in wanted], atol=6e-5)
        _, (start, stop), (first, end) = wanted[0]
        assert rows[0][:2] == [f"{start} to {stop - 1}", f"{first} to {end - 1}"]
        assert _csv(opened, id)[1:] == rows
    assert f"(queries {region[0]} to {region[1] - 1}, keys {region[2]} to {region[3] - 1})" in title
    _, _, rows = _table(page, "table-received")
    received = trace["received"][1, 0]
    best = np.argsort(-received)[:32]
    _same([row[2:] for row in rows], received[best][:, None], atol=0.011)
    assert rows[0][0] == str(best[0])
    _, _, rows = _table(page, "table-window")
    _same([row[1:] for row in rows], trace["window"][1, 0][-24:, -24:])

    page.evaluate("location.hash = 'mapLayer=2&q0=1480&q1=1490&k0=1470&k1=1500'")
    opened.quiet()
    title, _, rows = _table(page, "table-region")
    assert "exact weights in the purple frame (queries 1480 to 1489, keys 1470 to 1499)" in title
    weights = trace["window"][2, 0][12:22, 2:]
    wanted = np.sort(weights[weights > 0])[::-1][:64]
    _same([row[2:] for row in rows], wanted[:, None])
    q, k = np.unravel_index(weights.argmax(), weights.shape)
    assert rows[0][0].split()[0] == str(1480 + q)
    assert rows[0][1].split()[0] == str(1470 + k)
    assert (opened.errors, opened.requests, opened.violations()) == ([], [], [])


def test_without_scripts_the_tables_hold_what_the_charts_open_with(open_page, lengthy):
    page = open_page(lengthy, scripts=False).page
    for id in ("table-spread", "table-map", "table-received", "table-window"):
        title, _, _ = _table(page, id)
        assert f"layer {0 if id == 'table-spread' else opening_layer(lengthy)}" in title
    assert not page.locator(".twin:has(#table-region)").is_visible()
