"""Texts that are hard to show stay visible and widen nothing: a sample of the label fuzzer."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "report"))

from label_fuzz import BATCH, INKLESS, TEXTS, trace_of, wrong_in_page, wrong_in_picture
from label_texts import hidden_in, text

from attentropy.report.text import shorten
from traces import CHAT, synthetic

pytestmark = [pytest.mark.browser, pytest.mark.costly]


def test_a_batch_of_texts_is_visible_and_widens_nothing(open_page, written):
    texts = [text(n) for n in range(BATCH)]
    trace = trace_of(texts)
    opened = open_page(trace)
    assert wrong_in_page(opened, written(trace), texts) == []
    assert wrong_in_picture(trace) == []


def test_a_text_of_100000_letters_without_a_blank_stays_in_its_box(open_page):
    tokens = ["W" * 100_000, *CHAT, "\ufdfd" * 50, "e" + "\u0301" * 500]
    roles = ["content"] * len(tokens)
    trace = synthetic(tokens, roles, layers=2, heads=1, window=False, generated=["M" * 100_000])
    for size in (1440, 420):
        opened = open_page(trace, width=size)
        assert opened.page.evaluate("document.documentElement.scrollWidth") == size
        opened.assert_clean()


def test_the_checks_find_what_is_hidden(open_page):
    page = open_page(synthetic(), fresh=False).page
    assert page.evaluate(INKLESS, ["\u3164", "\u2800", "a", "⟨3164⟩"]) == ["\u3164", "\u2800"]
    page.evaluate("document.querySelector('h1').append('\\u3164')")
    assert any(hidden_in(shown, " \n\t\u00a0") for shown in page.evaluate(TEXTS))


@pytest.mark.parametrize(
    "own", ["日本語日本語", "\ufdfd\ufdfd", "e\u0301" * 9, "שלום עולם", "capital city", "𒐫a𒐫"]
)
def test_the_script_cuts_labels_as_the_figure_does(open_modules, own):
    opened, _ = open_modules(synthetic())
    call = "async ([own, most]) => (await import('./script/data/format.js')).shorten(own, most)"
    for columns in (4, 7, 12):
        plain = shorten(own, columns).translate({0x2068: None, 0x2069: None})
        assert opened.page.evaluate(call, [own, columns]) == plain.replace("␣", " ")


def test_the_script_divides_no_emoji(open_modules):
    opened, _ = open_modules(synthetic())
    call = "async (own) => (await import('./script/data/format.js')).shorten(own, 8)"
    assert opened.page.evaluate(call, "👩\u200d👩\u200d👧" * 4) == "👩\u200d👩\u200d👧…"
