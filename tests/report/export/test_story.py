"""A story is one picture: the page's headline, its figure, and the caption; no word is cut."""

import io
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from PIL import Image

import attentropy
from answers import answered
from attentropy.report.content.headline import headline
from attentropy.report.content.subject import subject_of
from attentropy.report.export.composed import compose
from attentropy.report.export.paragraphs import Paragraph, Run, draw_paragraphs
from attentropy.report.figures.placement import place
from attentropy.report.palette import LIGHT
from attentropy.report.read.views import read_view
from hostile import HOSTILE_NAMES
from traces import profiled, synthetic

pytestmark = pytest.mark.costly

_ISOLATES = str.maketrans("", "", "\u2068\u2069")
_TEXT = "{http://www.w3.org/2000/svg}text"


def texts_of(svg):
    """Return the texts of a picture and where they stand, from top to bottom."""
    return [
        ("".join(text.itertext()), float(text.get("y") or "nan"))
        for text in ElementTree.fromstring(svg).iter(_TEXT)
    ]


def drawn(text, width=300.0, **style):
    """Return the lines of a paragraph: (x, y, text) of each text."""
    elements, height = draw_paragraphs([Paragraph((Run(text, **style),), 10)], 0, 0, width, LIGHT)
    root = ElementTree.fromstring(f'<svg xmlns="http://www.w3.org/2000/svg">{elements}</svg>')
    rows = [(float(t.get("x")), float(t.get("y")), "".join(t.itertext())) for t in root.iter(_TEXT)]
    return rows, height


@pytest.fixture(scope="module")
def story():
    return answered()


@pytest.mark.parametrize("width", [67, 180, 500])
def test_a_story_has_headline_and_caption_in_whole_words(story, width):
    document = attentropy.export(story, "story", width=width)
    line = headline(story)
    start = f"“{line.before}{line.word}{line.after}”"
    assert document.title.startswith(start)
    lines = [text for text, _ in texts_of(document.data)]
    everything = " ".join(" ".join(lines).split())
    assert " ".join(document.title.split()) in everything
    shown = [read_view(story, name) for name in ("lens", "attention")]
    words = subject_of(story).words(place(story, 12), shown, list("01234567"))
    assert words.evidence
    assert " ".join(words.evidence.translate(_ISOLATES).split()) in everything
    assert everything.endswith(" ".join(document.caption.split()))


def test_a_caption_names_model_revision_and_version(story):
    dataset = story.dataset.assign_attrs(
        model=story.attrs["model"] | {"name": "some-model", "revision": "0123456789abcdef"}
    )
    caption = attentropy.export(type(story)(dataset), "story", "csv").caption
    assert "some-model (0123456789ab)" in caption
    assert "Made with attentropy" in caption


@pytest.mark.parametrize("figure", ["story", "lens", "attention", "map"])
def test_nothing_is_drawn_over_the_edge(figure):
    image = Image.open(io.BytesIO(attentropy.export(synthetic(), figure, "png", dpi=100).data))
    values = np.asarray(image.convert("RGB")).astype(int)
    edges = (values[:, :2], values[:, -2:], values[:2], values[-2:])
    assert all((edge == values[0, 0]).all() for edge in edges)


def test_the_caption_is_in_the_file_and_drawn_unless_it_is_left_out(story):
    drawn_too, plain = (
        attentropy.export(story, "lens", caption=caption) for caption in (True, False)
    )
    start = drawn_too.caption[:40]
    for document in (drawn_too, plain):
        assert f"<desc>{start}" in document.data.decode()
    assert start in " ".join(text for text, _ in texts_of(drawn_too.data))
    assert start not in " ".join(text for text, _ in texts_of(plain.data))


def differing():
    """Return the difference of two traces."""
    return attentropy.compare(synthetic(), synthetic(seed=1))


@pytest.mark.parametrize("make", [differing, profiled])
def test_comparisons_and_profiles_have_stories_too(make):
    document = attentropy.export(make(), "story")
    assert document.title in " ".join(text for text, _ in texts_of(document.data))


@pytest.mark.parametrize("text", HOSTILE_NAMES)
def test_hostile_text_stays_text(text):
    trace = synthetic()
    model = trace.attrs["model"] | {"name": text}
    trace = type(trace)(trace.dataset.assign_attrs(model=model))
    for format in ("svg", "png", "pdf"):
        assert attentropy.export(trace, "story", format, dpi=72).data
    root = ElementTree.fromstring(attentropy.export(trace, "story").data)
    assert not [e for e in root.iter() if e.tag.endswith(("script", "foreignObject"))]


def test_words_are_wrapped_and_a_word_wider_than_the_line_is_divided():
    words = "the quick brown fox jumps over the lazy dog " * 6
    rows, height = drawn(words, 120)
    assert len(rows) > 6
    assert "".join(text for *_, text in rows) == words
    assert all(set(text.split()) <= set(words.split()) for *_, text in rows)
    assert height == pytest.approx(13 * len(rows))
    rows, _ = drawn("x" * 200, 120)
    assert len(rows) > 5
    assert "".join(text for *_, text in rows) == "x" * 200
    rows, _ = drawn("首都是堪培拉" * 20, 120)
    assert len({y for _, y, _ in rows}) > 5


def test_words_of_another_script_are_texts_of_their_own_in_their_own_order():
    rows, _ = drawn("answers “عاصمة أستراليا” p = 0.5", 400)
    assert len({y for _, y, _ in rows}) == 1
    assert [text for *_, text in rows] == ["answers “", "عاصمة أستراليا", "” p = 0.5"]
    assert [x for x, *_ in rows] == sorted(x for x, *_ in rows)
    # The decisive word stands between what is before and after it, read from the right.
    runs = (Run("عاصمة "), Run("أستراليا", "blue"), Run(" هي"))
    elements, _ = draw_paragraphs([Paragraph(runs, 10)], 0, 0, 400, LIGHT)
    places = [float(x) for x in re.findall(r' x="([\d.]+)"', elements)]
    order = re.findall(r"<tspan[^>]*>([^<]*)</tspan>", elements)
    assert [text.strip() for text in order if text.strip()] == ["هي", "أستراليا", "عاصمة"]
    assert places == sorted(places)


def test_a_composed_picture_keeps_the_figures_size():
    figure = '<svg xmlns="http://www.w3.org/2000/svg" width="200" height="50"><rect/></svg>'
    plain = ElementTree.fromstring(compose(figure, (), (), LIGHT))
    assert plain.get("viewBox") == "0 0 200 50.00"
    taller = ElementTree.fromstring(
        compose(figure, (), (Paragraph((Run("a caption"),), 10),), LIGHT)
    )
    assert taller.get("width") == "200"
    assert float(taller.get("height")) == pytest.approx(50 + 13 + 6)
