"""What the answer rests on: the verdict, the text's colours and arcs, the columns, the section."""

import io
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from answers import answered
from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.sources import LABELS
from attentropy.report.figures.sizes import wide
from sourced import ANSWER, Made, capital, with_sources, word_span
from traces import CHAT, synthetic

pytestmark = pytest.mark.browser

HOSTILE = "<img src=x onerror=window.pwned=1>"
CANBERRA = len(CHAT) + 5


@pytest.fixture(scope="module")
def trace():
    return capital()


def _colour(page, position):
    token = page.locator(f'#text .t[data-at="{position}"]')
    return token.evaluate("(t) => getComputedStyle(t).backgroundColor")


def _at(trace, text):
    return trace.tokens.index(f" {text}")


def test_the_page_opens_with_the_sources_of_the_decisive_word(open_page, trace):
    opened = open_page(trace)
    page = opened.page
    assert "“Canberra” (0.65) rests on “capital” (0.001 when hidden" in page.inner_text(".evidence")
    arcs = page.eval_on_selector_all(".arcs path.tested", "(all) => all.map((a) => a.dataset.key)")
    assert sorted(map(int, arcs)) == [_at(trace, "capital"), _at(trace, "Australia")]
    marked = page.eval_on_selector_all("#text .t.source", "(all) => all.map((t) => t.dataset.at)")
    assert sorted(map(int, marked)) == [_at(trace, "capital"), _at(trace, "Australia")]
    dashed = page.locator(".arcs path.attended")
    assert not dashed.count() or "none" not in dashed.first.evaluate(
        "(a) => getComputedStyle(a).strokeDasharray"
    )
    opened.assert_clean()


def test_a_click_on_a_word_of_the_answer_shows_what_it_rests_on(open_page, trace):
    opened = open_page(trace)
    page = opened.page
    legend = page.locator(".figure:has(> #effect-legend)")
    assert not legend.is_visible()
    page.click(f'#text .t[data-at="{CANBERRA}"]')
    opened.quiet()
    assert legend.is_visible()
    red, green, blue = map(int, _colour(page, _at(trace, "capital"))[4:-1].split(","))
    assert green > max(red, blue) + 40  # needed: green
    assert "missing" in page.locator(f'#text .t[data-at="{_at(trace, "of")}"]').get_attribute(
        "class"
    )
    assert _colour(page, CANBERRA - 1) == "rgba(0, 0, 0, 0)"  # the answer is no part of the prompt
    page.hover(f'#text .t[data-at="{_at(trace, "capital")}"]')
    opened.quiet()
    title = page.locator(f'#text .t[data-at="{_at(trace, "capital")}"]').get_attribute("title")
    assert "hiding “capital” changes ln p by −6.48 nats" in title
    page.hover(f'#text .t[data-at="{_at(trace, "of")}"]')
    opened.quiet()
    title = page.locator(f'#text .t[data-at="{_at(trace, "of")}"]').get_attribute("title")
    assert title.endswith("not tested")
    page.click(f'#text .t[data-at="{CANBERRA - 4}"]')  # another word of the answer
    opened.quiet()
    assert "“capital” (" in page.inner_text("#text-hint")
    assert page.locator(".arcs path.tested").count() == 1
    page.click(f'#text .t[data-at="{_at(trace, "capital")}"]')  # the prompt has its entropies
    opened.quiet()
    assert not legend.is_visible()
    assert page.inner_text("#text-hint").startswith("Colour: doubt") or "entropy" in (
        page.inner_text("#text-hint")
    )
    opened.assert_clean()


def test_sinks_and_the_last_token_are_hatched_and_other_template_tokens_are_one_group(open_page):
    base = capital(template={"Canberra": -0.2})
    sources = base.sources
    place = {"span_start": 1, "span_stop": 2}  # a template token that cannot be hidden
    for name, value in {**place, "span_role": "sink", "span_level": "template"}.items():
        sources[name].values[2] = value
    sources["label"].values[2] = LABELS.index("sink")
    page = open_page(base).page
    page.click(f'#text .t[data-at="{CANBERRA}"]')
    for chip in page.locator("#text details").all():
        chip.evaluate("(d) => { d.open = true; }")
    titles = {}
    for position in (0, 1, base.prompt_tokens - 1):
        token = page.locator(f'#text .t[data-at="{position}"]')
        token.hover()
        titles[position] = token.get_attribute("title")
        assert ("missing" in token.get_attribute("class")) == bool(position)
    assert titles[0].endswith("hiding all template tokens changes ln p by −0.20 nats")
    assert titles[1].endswith("not tested, because it is a sink")
    assert titles[base.prompt_tokens - 1].endswith("not tested")


@pytest.mark.parametrize("width", [420, 1440])
def test_each_word_that_is_clicked_shows_its_own_sources(open_page, trace, width):
    opened = open_page(trace, width=width)
    page = opened.page
    for position, names in ((CANBERRA, {"capital", "Australia"}), (CANBERRA - 4, {"capital"})):
        page.click(f'#text .t[data-at="{position}"]')
        opened.quiet()
        marked = page.eval_on_selector_all(
            "#text .t.source", "(all) => all.map((t) => t.dataset.at)"
        )
        assert {trace.tokens[int(at)].strip() for at in marked} == names
    opened.assert_clean()


def test_on_a_telephone_the_table_says_in_which_layers_a_source_is_read(open_page, trace):
    page = open_page(trace, width=420).page
    cell = page.locator("#table-sources-0 tbody tr").first.get_by_text("layers 2–4")
    cell.scroll_into_view_if_needed()
    box = cell.bounding_box()
    assert box["x"] + box["width"] <= 420
    assert "The answer reads “capital” in layers 2–4" in page.inner_text("#section-sources")
    assert page.locator(".strip-of-layers img").first.is_visible()
    assert page.inner_text(".strip-of-layers").startswith("p(Canberra) if hidden from this layer")


def test_the_caption_speaks_of_columns_only_where_they_are_drawn(open_page, trace):
    sentence = "Right: the word's probability when a source is hidden from this layer on"
    page = open_page(trace).page
    assert sentence in page.inner_text("#caption")
    page.set_viewport_size({"width": 420, "height": 900})
    page.wait_for_function(
        "text => !document.querySelector('#caption').innerText.includes(text)", arg=sentence
    )
    page.set_viewport_size({"width": 1440, "height": 900})
    page.wait_for_function(
        "text => document.querySelector('#caption').innerText.includes(text)", arg=sentence
    )
    assert "{hidden}" not in page.inner_text("#caption")


def _columns(opened, size, top=0):
    """Return a screenshot of the columns next to the section, [row, column, colour]."""
    box = opened.page.locator("#figure").bounding_box()
    image = Image.open(io.BytesIO(opened.page.screenshot())).convert("RGB")
    left = box["x"] + size.margins[0] + size.left + size.section + size.gap - 2
    above = box["y"] + 16 + size.overview + size.above
    area = (left, above + 2, left + size.hidden + 4, above + size.height - 2)
    return np.asarray(image.crop(tuple(round(side) for side in area)), float)


@pytest.mark.parametrize("dark", [False, True])
def test_the_columns_are_those_of_the_still_picture(open_page, dark):
    trace, size = capital(), wide(6, 26, 2)
    trace.sources["effect_from_layer"].values[:, 3] = np.nan  # not tested
    live = _columns(open_page(trace, dark=dark), size)
    still = _columns(open_page(trace, dark=dark, scripts=False), size)
    assert live.shape == still.shape
    assert np.abs(live - still).mean() < 6  # text is drawn by two programs
    assert live.std() > 20


def test_the_columns_are_another_words_where_the_headlines_has_none(open_page):
    trace, size = capital(), wide(6, 26, 2)
    trace.sources["effect_from_layer"].values[:, :, 5:] = np.nan  # "Canberra"
    live = _columns(open_page(trace), size)
    still = _columns(open_page(trace, scripts=False), size)
    assert np.abs(live - still).mean() < 6
    assert live.std() > 20


def test_the_columns_follow_the_word_and_leave_the_heads_of_a_layer(open_page, trace):
    opened = open_page(trace)
    page, size = opened.page, wide(6, 26, 2)
    first = _columns(opened, size)
    page.click(f'#text .t[data-at="{CANBERRA - 4}"]')
    opened.quiet()
    page.mouse.move(5, 5)
    opened.quiet()
    assert np.abs(_columns(opened, size) - first).mean() > 3
    opened.go("view=attention&rows=heads&layer=1")
    page.mouse.move(5, 5)
    opened.quiet()
    assert np.abs(_columns(opened, size) - first).mean() > 3
    assert "is hidden from this layer on" not in page.inner_text("#caption")
    opened.assert_clean()


def test_the_section_has_chart_tables_and_csv(open_page, trace):
    opened = open_page(trace)
    page = opened.page
    table = page.locator("#table-sources-0")
    texts = table.inner_text()
    assert "capital" in texts
    assert "not tested" in texts
    rows = table.locator("tbody tr").all()
    assert [cell.inner_text() for cell in rows[0].locator("th, td").all()][:3] == [
        "capital", "source", "0.001",
    ]  # fmt: skip
    assert "layers 2–4" in rows[0].inner_text()
    assert [row.get_attribute("class") for row in rows[:3]] == ["rests", "rests", None]
    assert rows[-1].locator(".missing").first.inner_text() == "not tested"
    assert page.locator(".sources > .figure .still img").first.is_visible()
    assert not page.locator(".strip-of-layers").is_visible()  # the figure has columns
    with page.expect_download():
        page.click("[data-csv=table-sources-0]")
    page.click("ol.findings li:first-child [data-finding]")
    opened.quiet()
    assert opened.state()["col"] == str(CANBERRA)
    opened.assert_clean()


def test_without_scripts_sentence_and_table_stand(open_page, trace):
    page = open_page(trace, scripts=False).page
    assert "rests on “capital”" in page.inner_text(".evidence")
    assert page.locator("#table-sources-0").is_visible()
    assert not page.locator("#effect-legend").is_visible()


@pytest.mark.parametrize("width", [420, 1440])
def test_names_of_sources_out_of_view_do_not_overlap_and_come_first(open_page, width):
    prompt = [f" word{i}" for i in range(1200)]
    roles = ["content"] * len(prompt) + ["generated"] * len(ANSWER)
    trace = synthetic((*prompt, *ANSWER), roles, generated=ANSWER, layers=3, window=False)
    facts = {"sha256": "2" * 64, "tokens": len(prompt), "chat": False}
    trace = Trace(trace.dataset.assign_attrs(prompt=facts))
    effects = {"Canberra": (-4.0, -4.0, "source")}
    spans = [
        Made(a, a + 4, effects=effects, level="segment", id=f"passage {a}") for a in (10, 400, 900)
    ]
    opened = open_page(with_sources(trace, spans, ["Canberra"]), width=width)
    page = opened.page
    page.click(f'#text .t[data-at="{len(prompt) + 5}"]')
    opened.quiet()
    labels = page.locator(".arcs text")
    labels.first.wait_for(state="attached")
    texts = labels.all_text_contents()
    assert texts[0] == "↑ passage 10 · 10"
    boxes = sorted((box["x"], box["x"] + box["width"]) for box in map(_box, labels.all()))
    assert all(right < left for (_, right), (left, _) in pairwise(boxes))
    assert boxes[0][0] > 0


def _box(element):
    return element.bounding_box()


@pytest.mark.parametrize("width", [420, 820, 1440])
def test_the_page_never_scrolls_sideways_and_the_figure_is_whole(open_page, trace, width):
    opened = open_page(trace, width=width)
    for position in (None, CANBERRA):
        if position is not None:
            opened.page.click(f'#text .t[data-at="{position}"]')
            opened.quiet()
        assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
        figure = opened.page.locator("#figure")
        assert figure.evaluate("(f) => f.scrollWidth <= f.clientWidth")
    if width == 1440:
        box = opened.page.locator("#canvas canvas").bounding_box()
        assert box["y"] + box["height"] <= 900
    opened.assert_clean()


def test_hostile_texts_are_texts(open_page):
    tokens = [HOSTILE if token == " capital" else token for token in CHAT]
    data = answered(ANSWER, layers=6).dataset
    own = data.token_text.values.copy()
    own[: len(tokens)] = tokens
    trace = type(capital())(data.assign_coords(token_text=("position", own)))
    effects = {"Canberra": (-3.0, -3.0, "source")}
    span = word_span(trace, HOSTILE, effects=effects, band=(1, 2), level="segment", id=HOSTILE)
    opened = open_page(with_sources(trace, [span], ["Canberra"]))
    opened.page.click(f'#text .t[data-at="{CANBERRA}"]')
    opened.quiet()
    assert "onerror" in opened.page.inner_text(".evidence")
    assert opened.page.evaluate("window.pwned") is None
    assert opened.page.locator("img[onerror]").count() == 0
    opened.assert_clean()
