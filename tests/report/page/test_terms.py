"""The page explains its words: where one first appears in a section, it opens its definition."""

import re
from html import unescape

import pytest

from attentropy.report.findings.single import observe
from attentropy.report.glossary import TERMS, find
from attentropy.report.page.page import render
from attentropy.report.page.terms import Terms
from traces import synthetic


@pytest.fixture(scope="module")
def page():
    trace = synthetic()
    return render(trace, observe(trace))


def _section(page, name):
    start = page.index(f'id="section-{name}"') if name else page.index('id="title-findings"')
    return page[start : page.index("</section>", start)]


def test_every_definition_is_on_the_page_once(page):
    for term in TERMS:
        assert page.count(f'id="term-{term.key}"') == 1
        assert unescape(page).count(f"{term.definition}</span></div>") == 1


def test_every_button_opens_a_definition_of_the_page(page):
    targets = re.findall(r'popovertarget="([^"]+)"', page)
    assert len(targets) > 8
    assert all(f'<div popover class="definition" id="{target}">' in page for target in targets)


@pytest.mark.parametrize(
    ("section", "terms"),
    [("figure", ["lens entropy", "rehearsal"]), ("", ["rehearsal", "rank", "template token"]),
     ("lens", ["KL"]), ("attention", ["normalized entropy", "sink mass"])],
)  # fmt: skip
def test_a_term_is_a_button_where_it_first_occurs_in_a_section(page, section, terms):
    part = _section(page, section)
    for name in terms:
        assert part.count(f'popovertarget="term-{find(name).key}"') == 1, name


def test_words_of_tokens_and_answers_are_left_alone_and_escaped():
    marked = Terms().mark("“rank <b>” has 5 % and rank 1, again rank 2", "findings")
    assert marked.startswith("“rank &lt;b&gt;” has 5\u00a0% and <button")
    assert marked.count("<button") == 1
    assert marked.endswith(">rank</button> 1, again rank 2")


def test_a_term_within_a_longer_word_is_no_term():
    assert "<button" not in Terms().mark("lens_rank, natural, tiled, kl-x", "findings")
    assert ">nats</button>" in Terms().mark("3 nats", "findings")
    assert ">normalized attention entropy</button>" in Terms().mark(
        "normalized attention entropy", "findings"
    )


def test_a_hostile_token_in_a_finding_stays_text():
    plain = synthetic()
    hostile = ["”<img src=x>rank" if t == "assistant" else t for t in plain.tokens]
    trace = synthetic(hostile, [str(role) for role in plain["role"]])
    page = render(trace, observe(trace))
    assert "<img src=x>" not in page
