"""The text of prompt and answer: read as a whole, joined, in its direction, with one selection."""

import re

import numpy as np
import pytest

from attentropy.engine.trace.dataset import Trace
from attentropy.report import palette
from attentropy.report.read.views import scale_end
from attentropy.report.text import for_prompt
from long_traces import long
from reading import READ
from traces import synthetic

pytestmark = pytest.mark.browser

N = 131_072


@pytest.fixture(scope="module")
def endless():
    return long(N, layers=2, heads=1, read=1500)


@pytest.mark.costly
def test_every_token_of_a_very_long_text_is_read_by_scrolling_from_first_to_last(
    open_page, endless
):
    opened = open_page(endless, height=900)
    opened.page.click("#text-expand")
    opened.quiet()
    read = opened.page.evaluate(READ)
    wanted = [for_prompt(text).lstrip(" ") for text in endless.tokens]
    shown = {int(at): text for at, text in read["tokens"].items()}
    in_chips = {i for start, stop in read["chips"] for i in range(start, stop)}
    assert len(shown) + len(in_chips) == N
    assert all(shown[i].lstrip(" ") == wanted[i] for i in shown)
    assert {endless.roles[i] for i in in_chips} <= {"bos", "template"}
    assert read["most"] < 3000
    assert "more token" not in opened.page.inner_text("#text")
    opened.assert_clean()


def test_a_very_long_text_shows_the_selected_token_and_few_elements(open_page, endless):
    opened = open_page(endless, height=900, fragment="#col=71234")
    page = opened.page
    assert page.locator("#section-text").bounding_box()["height"] <= 120
    for position in (71_234, 9, 131_000):
        opened.go(f"col={position}&a={position}&b={position + 9}")
        box = page.locator(f'#text .t[data-at="{position}"]').bounding_box()
        view = page.locator("#text").bounding_box()
        assert view["y"] - 1 <= box["y"] <= view["y"] + view["height"] - 10
        marked = page.locator("#text .chosen")
        assert marked.get_attribute("data-at") == str(position)
        assert marked.text_content() == endless.tokens[position].strip()
        assert page.locator("#text .t").count() < 900

    # Keys scroll it, as any text; its heights are known where it was read.
    page.focus("#text")
    before = page.evaluate(
        "() => { const text = document.getElementById('text'); window.scrolled = "
        "new Promise((done) => text.addEventListener('scroll', done, { once: true }));"
        " return text.scrollTop; }"
    )
    page.keyboard.press("PageUp")
    page.evaluate("() => window.scrolled.then(() => true)")
    assert page.evaluate("document.getElementById('text').scrollTop") < before
    opened.quiet()

    # The passages of the highest mean, of which the first lies where the trace says.
    values = endless["lens_entropy"][0, -1].astype(np.float64)
    starts = range(0, N - 31, 8)
    read = np.concatenate([[0], np.cumsum(np.isfinite(values))])
    sums = np.concatenate([[0], np.cumsum(np.nan_to_num(values))])
    means = {a: (sums[a + 32] - sums[a]) / (read[a + 32] - read[a]) for a in starts
             if read[a + 32] - read[a] >= 8}  # fmt: skip
    best = max(means.values())
    first = page.locator("#text-unsure button").first
    assert f"mean entropy of the model's output {best:.2f} nats" in first.get_attribute("title")
    first.click()
    opened.quiet()
    selected = int(opened.state()["col"])
    assert means[selected] == pytest.approx(best, abs=2e-3)
    opened.assert_clean()


def test_the_text_that_is_marked_is_copied_as_it_stands(open_page):
    tokens = ["Do", " this", ":\n", "\n", "for", " i", " in", " x", ":\n", "   ", " y", "\n"]
    tokens += [f" w{i}" for i in range(120)]
    trace = synthetic(tokens, ["content"] * len(tokens), layers=2, heads=1, window=False)
    opened = open_page(trace)
    opened.page.click("#text-expand")
    opened.quiet()
    copied = opened.page.evaluate(
        "() => { getSelection().selectAllChildren(document.querySelector('#text .frame'));"
        " return getSelection().toString(); }"
    )
    assert copied.split() == "".join(tokens).split()
    assert "Do this:" in copied.splitlines()
    lines = opened.page.locator("#text .line")
    assert lines.nth(0).text_content() == "Do this:\n\n"
    assert lines.nth(1).text_content() == "for i in x:\n"
    assert lines.nth(2).text_content() == "    y\n"


SYSTEM = ["<|im_start|>", "system", "\n", "Be", " kind", ".", "<|im_end|>", "\n"]
USER = ["<|im_start|>", "user", "\n"]
ASSISTANT = ["<|im_end|>", "\n", "<|im_start|>", "assistant", "\n"]
ARABIC = ["الق", "ا", "هر", "ة", " مدي", "نة", " كب", "ير", "ة"]


def _arabic(repeat=1, written=("The", " answer", " is", " Cai", "ro", ".")):
    tokens = [*SYSTEM, *USER, *ARABIC * repeat, *ASSISTANT, *written]
    roles = ["template"] * (len(SYSTEM) + len(USER)) + ["content"] * len(ARABIC) * repeat
    roles += ["template"] * len(ASSISTANT) + ["generated"] * len(written)
    own = synthetic(tokens, roles, layers=3, heads=2, window=False, generated=written).dataset
    prompt = {"sha256": "2" * 64, "tokens": len(tokens) - len(written), "chat": True}
    return Trace(own.assign_attrs(prompt=prompt))


@pytest.mark.parametrize("repeat", [1, 30])  # in the page as text, and read by the script
def test_arabic_runs_right_to_left_and_its_letters_join_across_tokens(open_page, repeat):
    opened = open_page(_arabic(repeat))
    page = opened.page
    page.evaluate("document.getElementById('text').scrollTop = 0")
    opened.quiet()
    at = len(SYSTEM) + len(USER)
    word = page.locator(f'#text .w:has(> .t[data-at="{at}"])').first
    tokens = word.locator(".t")
    assert tokens.count() == 4
    direction = "(e) => getComputedStyle(e).direction"
    assert word.evaluate(direction) == "rtl"
    # As wide as the same letters without any element between them, and not as each for itself.
    joined, separate = word.evaluate(
        """(e) => {
          const make = (html) => { const own = document.createElement('span');
            own.append(...html); e.parentElement.append(own);
            const { width } = own.getBoundingClientRect(); own.remove(); return width; };
          const parts = [...e.querySelectorAll('.t')].map((t) => t.textContent);
          return [make([parts.join('')]), make(parts.map((text) => {
            const own = document.createElement('span'); own.style.display = 'inline-block';
            own.textContent = text; return own; }))];
        }"""
    )
    assert word.bounding_box()["width"] == pytest.approx(joined, abs=0.6)
    assert abs(joined - separate) > 2
    lefts = [one.bounding_box()["x"] for one in tokens.all()]
    assert lefts == sorted(lefts, reverse=True)
    if repeat == 1:
        answer = page.locator("#text .said").last
        assert answer.evaluate(direction) == "ltr"
        page.locator("#text summary").first.click()
        system = page.locator('#text .t[data-at="3"]')
        assert system.evaluate(direction) == "ltr"
        assert page.locator('#text .t[data-at="3"]').inner_text() == "Be"
    opened.assert_clean()


def _colour(element):
    style = element.evaluate("(e) => getComputedStyle(e).backgroundColor")
    return [int(part) for part in style.removeprefix("rgb(").rstrip(")").split(",")]


def _wanted(value, high):
    return palette.colors(np.array([value]), 0, high)[0].astype(int)


def test_colours_follow_the_view_and_the_row_and_say_where_the_lens_did_not_read(open_page):
    trace = _arabic()
    trace.dataset["lens_entropy"].values[:, :, 14] = np.nan
    opened = open_page(trace)
    page = opened.page
    lens, attention = trace["lens_entropy"][0], trace["entropy"].mean(1)
    highs = scale_end(trace, "lens"), scale_end(trace, "attention")
    token = page.locator('#text .t[data-at="12"]')
    np.testing.assert_allclose(_colour(token), _wanted(lens[-1, 12], highs[0]), atol=2)
    unread = page.locator('#text .t[data-at="14"]')
    np.testing.assert_allclose(_colour(unread), _wanted(attention[-1, 14], highs[1]), atol=2)
    assert "other" in unread.get_attribute("class")
    assert "underlined, where the lens did not read: attention entropy" in (
        page.inner_text("#text-hint")
    )
    unread.hover()
    assert "the lens did not read this position" in unread.get_attribute("title")
    opened.go("row=1")
    np.testing.assert_allclose(_colour(token), _wanted(lens[1, 12], highs[0]), atol=2)
    assert "layer 1" in page.inner_text("#text-hint")
    page.click("[data-view=attention]")
    opened.quiet()
    np.testing.assert_allclose(_colour(token), _wanted(attention[1, 12], highs[1]), atol=2)
    opened.assert_clean()


def test_text_and_figure_share_one_selection_and_arcs_lead_to_what_it_attends_to(open_page):
    tokens = ["<s>", *(f" word{i}" for i in range(12))]
    trace = synthetic(tokens, ["bos"] + ["content"] * 12, layers=4, heads=2)
    opened = open_page(trace)
    page = opened.page
    page.locator('#text .t[data-at="9"]').click()
    opened.quiet()
    assert opened.state()["col"] == "9"
    assert page.locator("#text .chosen").get_attribute("data-at") == "9"

    weights = trace["window"][2:, :, 9].mean((0, 1))
    weights[[0, 9]] = 0
    wanted = np.argsort(-weights)[:3].tolist()
    keys = page.evaluate(
        "[...document.querySelectorAll('.arcs [data-key]')].map((e) => e.dataset.key)"
    )
    assert [int(key) for key in keys] == wanted

    page.locator('#text .t[data-at="5"]').hover()
    opened.quiet()
    assert page.locator("#text .hovered").get_attribute("data-at") == "5"
    page.focus("#figure")
    page.keyboard.press("ArrowLeft")
    opened.quiet()
    assert page.locator("#text .chosen").get_attribute("data-at") == "8"
    opened.assert_clean()


def test_without_scripts_a_long_text_has_its_first_and_its_last_passage(open_page):
    tokens = ["<s>", *(f" w{i}" for i in range(4000))]
    trace = synthetic(tokens, ["bos"] + ["content"] * 4000, layers=2, heads=1, window=False)
    page = open_page(trace, scripts=False).page
    text = page.locator("#text").text_content()
    assert " w0 w1 w2" in text
    assert text.endswith(" w3998 w3999")
    assert "more can be read where scripts run" in text
    assert page.evaluate("document.documentElement.scrollWidth") <= 1440


def test_search_marks_its_matches_in_the_text_and_dims_the_rest(open_page):
    tokens = ["<s>", *(f" word{i}" for i in range(12)), " cat", " word", "s"]
    trace = synthetic(tokens, ["bos"] + ["content"] * 15, layers=2, heads=1, window=False)
    opened = open_page(trace)
    page = opened.page
    marked = "[...document.querySelectorAll('#text .hit')].map((e) => Number(e.dataset.at))"
    page.fill("#search", "cat word")
    opened.quiet()
    assert page.evaluate(marked) == [13, 14]
    assert (
        page.locator('#text .t[data-at="3"]').evaluate("(e) => getComputedStyle(e).opacity") < "1"
    )
    page.fill("#search", "")
    opened.quiet()
    assert page.evaluate(marked) == []
    assert (
        page.locator('#text .t[data-at="3"]').evaluate("(e) => getComputedStyle(e).opacity") == "1"
    )


def test_few_stops_of_the_tab_key_stand_before_the_figure_and_enter_opens_the_chips(open_page):
    for repeat in (1, 30):
        opened = open_page(_arabic(repeat))
        page = opened.page
        page.evaluate("scrollTo(0, 0); document.activeElement.blur()")
        stops = 0
        while page.evaluate("document.activeElement.id") != "figure" and stops < 20:
            page.keyboard.press("Tab")
            stops += 1
        assert stops <= 7
        page.evaluate("document.getElementById('text').scrollTop = 0")
        page.focus("#text")
        page.keyboard.press("Enter")
        opened.quiet()
        assert page.locator('#text .t[data-at="3"]').is_visible()


def test_the_texts_colours_follow_the_figures_scale(open_page):
    trace = synthetic()
    values = trace.dataset["lens_entropy"].values
    np.minimum(values, 3.9, out=values)
    whole = scale_end(trace, "lens")
    opened = open_page(trace)
    token = opened.page.locator('#text .t[data-at="8"]')
    for is_fitted, end in ((True, 4.0), (False, whole)):
        opened.page.set_checked("#fit", is_fitted)
        opened.quiet()
        wanted = palette.colors(trace["lens_entropy"][0, -1, 8], 0, end).astype(int)
        shown = token.evaluate("(e) => getComputedStyle(e).backgroundColor.match(/\\d+/g)")
        assert np.abs(np.array(shown, int) - wanted).max() <= 2, is_fitted


def test_a_text_that_is_expanded_takes_most_of_the_screen_and_can_be_reduced_again(open_page):
    tokens = [f" w{i}" for i in range(4000)]
    trace = synthetic(tokens, ["content"] * 4000, layers=2, heads=1, window=False)
    page = (opened := open_page(trace, height=900)).page
    for _ in range(2):
        assert page.locator("#section-text").bounding_box()["height"] <= 120
        page.click("#text-expand")
        opened.quiet()
        card = page.locator("#section-text").bounding_box()
        assert page.locator("#text").bounding_box()["height"] >= 600
        for part in ("#text", "#minimap canvas", "#lines canvas", "#text-expand"):  # not cut off
            box = page.locator(part).bounding_box()
            assert card["y"] <= box["y"]
            assert box["y"] + box["height"] <= min(900, card["y"] + card["height"])
        page.click("#text-expand")
        opened.quiet()


def test_a_sentence_that_begins_with_a_word_from_right_to_left_runs_from_left_to_right(open_page):
    opened = open_page(_arabic(written=(" القاهرة", " جميلة", ".")))
    page = opened.page
    assert re.search("[\u0600-\u06ff]", page.inner_text(".evidence"))
    ways = page.evaluate(
        "[...document.querySelectorAll('.evidence > bdi, .findings li > bdi')]"
        ".map((own) => getComputedStyle(own).direction)"
    )
    assert set(ways) == {"ltr"}
