"""No text that a user reads has a phrase that no engineer would say."""

from itertools import takewhile

import pytest
from wording import FORBIDDEN, phrases_in

from pictures import without_pictures
from read_aloud import docstrings, glossary, messages, page_texts, script_texts, template_texts

# Docstrings of the code's own parts are for developers: only what `help` shows is checked.
SOURCES = {
    "messages": messages, "script": script_texts, "templates": template_texts,
    "glossary": glossary,
    "help": lambda: takewhile(lambda words: words.kind == "help()", docstrings()),
}  # fmt: skip


@pytest.mark.parametrize("source", SOURCES)
def test_no_text_has_a_forbidden_phrase(source):
    texts = list(SOURCES[source]())
    assert len(texts) > 20
    bad = [(words.place, phrases) for words in texts if (phrases := phrases_in(words.text))]
    assert bad == []


@pytest.mark.costly
def test_no_page_has_a_forbidden_phrase():
    with without_pictures():  # they are of no words
        texts = list(page_texts())
    assert {words.place for words in texts} >= {"single trace", "long trace", "comparison"}
    bad = [
        (words.place, words.text, phrases) for words in texts if (phrases := phrases_in(words.text))
    ]
    # The command that measured the stored results names its option.
    assert [one for one in bad if "attentropy bench --" not in one[1]] == []


@pytest.mark.parametrize(
    "text",
    ["attention beside its entropy", "the likeliest token", "it goes on with chunk 3", "rank 0",
     "one row a layer", "in 1 layers", "stopped (interrupted) (interrupted)", "x is no size",
     "Replace what is there", "Kept of attention"],
)  # fmt: skip
def test_a_forbidden_phrase_is_found(text):
    assert phrases_in(text)


@pytest.mark.parametrize(
    "text",
    ["besides entropy", "one row per layer", "1 layer, 11 layers, 2.1 layers", "rank 01",
     "from layer 29 onward", "a (b) (c)"],
)  # fmt: skip
def test_plain_words_are_allowed(text):
    assert phrases_in(text) == []


def test_every_phrase_has_words_to_use():
    assert all(FORBIDDEN.values())
