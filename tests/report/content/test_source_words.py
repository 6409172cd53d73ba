"""What the answer rests on, in sentences that say only what was tested."""

from dataclasses import replace

import numpy as np

from answers import answered
from attentropy.report.content.evidence import evidence
from attentropy.report.content.source_words import source_sentences, untested
from attentropy.report.findings.highlights import highlights
from attentropy.report.findings.single import observe
from attentropy.report.read.sources import read_sources
from long_traces import long
from sourced import ANSWER, Made, capital, with_sources, word_span

LAYERS = [str(i) for i in range(6)]


def _evidence_of(spans, **more):
    return evidence(with_sources(answered(), spans, ["Canberra"], **more))


def test_the_verdict_names_sources_with_and_without_their_copies():
    text = evidence(capital())
    assert text.startswith(
        "“Canberra” (0.65) rests on “capital” (0.001 when hidden with its copy in the answer; "
        "alone 0.62) and “Australia” (0.002)."
    )
    assert "attends most" not in text


def test_template_tokens_have_one_sentence():
    text = evidence(capital(template={"The": -3.0, "Canberra": 0.0}))
    assert "The template tokens are used for “The” (" in text
    assert "not for “Canberra” (0.65)" in text
    text = evidence(capital(template={"Canberra": -4.0}))
    assert "“Canberra” also needs the template tokens (0.01 without them)." in text
    assert "template tokens are not needed for “Canberra”" in evidence(capital(template={}))
    assert "template" not in evidence(capital())


def test_weights_and_passages_are_told_apart():
    own = {"Canberra": (-6.0, -6.0, "source")}
    passage = Made(5, 9, effects=own, level="segment", role="evidence", id="55", enough=-0.2)
    other = Made(9, 11, level="segment", role="evidence", id="41", enough=-5.0)
    text = _evidence_of([passage, other], evidence={"Canberra": -19.0})
    assert "rests on passage “55” (0.002 when hidden)." in text
    assert "“Canberra” comes from the passages: < 0.001 with every passage hidden; " in text
    assert "passage “55” alone is enough: 0.67" in text
    text = _evidence_of([other], evidence={"Canberra": -0.4})
    assert "“Canberra” (0.82) rests on no single part of the prompt that was tested." in text
    assert "“Canberra” comes from the weights: 0.55 with every passage hidden." in text


def test_two_copies_of_a_fact_are_said_to_make_up_for_each_other():
    spans = [
        Made(
            a,
            a + 2,
            effects={"Canberra": (-e, -e, "also there")},
            level="segment",
            role="evidence",
            id=name,
        )
        for a, e, name in ((5, 0.1, "one"), (7, 0.05, "two"))
    ]
    text = _evidence_of(spans)
    assert (
        "“Canberra” (0.82) stands in more than one place: passage “one” and passage “two” (" in text
    )
    assert "when one is hidden)" in text


def _passage(start, effect, label, name):
    return Made(start, start + 2, effects={"Canberra": (effect, effect, label)}, level="segment",
                role="evidence", id=name)  # fmt: skip


def test_a_second_copy_of_a_source_is_no_second_source():
    source, copy = (_passage(5, -4.0, "source", "one"), _passage(7, -0.01, "also there", "two"))
    text = _evidence_of([source, copy])
    assert (
        "“Canberra” (0.82) rests on passage “one” (0.01 when hidden); it also stands in passage "
        "“two” (0.81 when hidden)."
    ) in text
    question = replace(source, id="", level="word", role="asks")
    text = _evidence_of([question, copy, _passage(9, -0.2, "also there", "three")])
    assert (
        "; it also stands in passage “three” and passage “two” (0.67 and 0.81 when one is" in text
    )
    text = _evidence_of([copy])
    assert (
        "rests on no single part of the prompt that was tested; it also stands in passage" in text
    )


def test_words_that_replace_each_other_are_no_texts_that_state_the_word():
    word = replace(_passage(5, -4.0, "source", ""), level="word", role="asks")
    other = replace(_passage(7, -0.1, "also there", ""), level="word", role="asks")
    assert "; it could also rest on “" in _evidence_of([word, other])


def test_a_copy_is_named_at_the_first_source_that_has_one():
    trace = capital()
    trace.sources["effect_direct"].values[1, 5] = trace.sources["effect_with_copies"].values[1, 5]
    trace.sources["effect_direct"].values[3, 5] = 0
    text = evidence(trace)
    assert "“capital” (0.001 when hidden) and “Australia” (0.002 when hidden with its copy" in text


def test_without_a_test_the_row_says_where_it_looked():
    assert "rests on" not in evidence(answered())


def test_the_page_of_a_long_prompt_names_the_flag():
    assert untested(answered()) == ""
    assert "--test-sources" in untested(long(600, layers=2, heads=2))


def test_the_finding_comes_first_and_has_controls():
    observations = observe(capital())
    first = observations[highlights(observations)[0]]
    assert (first.id, first.title, first.n) == ("tested", "What it rests on", 6)
    assert first.value == np.float64(first.value) < -6
    assert "“Canberra” (p = 0.65) needs 2 of 6 parts of the prompt tested: “capital”" in first.text
    assert "0.53 to 0.72 without 20 other parts as long" in first.text
    assert first.text.endswith("1 part not tested.")
    against = word_span(answered(), "?", effects={"Canberra": (1.0, 1.0, "works against the word")})
    finding = observe(with_sources(answered(), [against], ["Canberra"]))[0]
    assert "needs none of the 1 part of the prompt tested. “?” works against it." in finding.text
    assert not finding.is_found


def test_the_finding_does_not_need_what_another_part_can_replace():
    source, copy = (_passage(5, -4.0, "source", "one"), _passage(7, -0.01, "also there", "two"))
    text = observe(with_sources(answered(), [source, copy], ["Canberra"]))[0].text
    assert "needs 1 of 2 parts of the prompt tested: “one” (" in text
    assert "two" not in text
    copies = [copy, _passage(9, -0.02, "also there", "three")]
    text = observe(with_sources(answered(), copies, ["Canberra"]))[0].text
    assert (
        "needs none of the 2 parts of the prompt tested; 2 of them can replace each other." in text
    )


def test_the_section_says_how_it_was_tested():
    text = source_sentences(read_sources(capital()), LAYERS)
    assert (
        "Tested: 6 parts of the prompt, each hidden while the answer was read again. "
        "1 part not tested."
    ) in text
    removed = source_sentences(read_sources(capital(how="remove")), LAYERS)
    assert "and each removed from the prompt, which was read again" in removed
    assert source_sentences(None, LAYERS) == ""


def test_the_section_says_in_which_layers_the_answer_reads_its_sources():
    text = source_sentences(read_sources(capital()), LAYERS)
    assert "The answer reads “capital” in layers 2–4 and “Australia” in layer 5." in text
    trace = capital()
    trace.sources["effect_from_layer"].values[:] = np.nan
    text = source_sentences(read_sources(trace), LAYERS)
    assert "The answer reads" not in text
    assert "The layers in which the answer reads its sources were not tested." in text


def test_a_sink_is_no_part_that_was_left_out():
    trace = capital()
    trace.sources["span_role"].values[2] = "sink"
    text = source_sentences(read_sources(trace), LAYERS)
    assert "1 part is a sink, which cannot be hidden." in text
    assert "not tested" not in text


def test_the_section_says_what_a_budget_left_out():
    notes = ["the budget left out 48 tests", 'use `test_sources="auto"` to make all', "<b>"]
    text = source_sentences(read_sources(capital(notes=notes)), LAYERS)
    assert "The budget left out 48 tests. Use “--test-sources auto” to make all. <b>." in text


def test_words_with_the_same_source_share_a_sentence():
    own = dict.fromkeys(("Canberra", "capital", "Australia"), (-6.0, -6.0, "source"))
    passage = Made(5, 9, effects=own, level="segment", role="evidence", id="55")
    text = evidence(with_sources(answered(ANSWER), [passage], list(own)))
    assert "“Canberra” (0.82) rests on passage “55” (0.002 when hidden). " in text
    assert (
        "“capital” (0.90) and “Australia” (0.90) rest on passage “55” too (0.002 and 0.002 when "
        "hidden)." in text
    )


def test_of_many_words_some_are_named_and_the_others_counted():
    texts = ("The", "capital", "of", "Australia", "is", "Canberra")
    spans = [word_span(answered(), text, effects={word: (-6.0, -6.0, "source")})
             for word, text in zip(texts, ("What", "is", "the", "capital", "of", "Australia"),
                                   strict=True)]  # fmt: skip
    text = evidence(with_sources(answered(ANSWER), spans, texts))
    assert text.startswith("“Canberra” (0.82) rests on “Australia” (0.002 when hidden). ")
    assert text.count("rests on") == 3
    assert "(3 more decisive words tested)." in text


def test_a_tested_question_is_called_one():
    asks = Made(5, 9, effects={"Canberra": (-6.0, -6.0, "source")}, level="sentence")
    assert "rests on the question “" in evidence(with_sources(answered(), [asks], ["Canberra"]))
    assert "rests on the sentence “" in evidence(
        with_sources(answered(), [replace(asks, role="evidence")], ["Canberra"])
    )


def test_copies_are_counted_as_words():
    one = evidence(capital())
    assert "with its copy in the answer" in one
    trace = capital(answered((*ANSWER[:3], " capital", *ANSWER[4:]), layers=6))
    assert "with its copies in the answer" in evidence(trace)


def test_another_text_has_a_sentence():
    trace = capital(versus="Sydney")
    values = np.full(7, np.nan, np.float32)
    values[[1, 3]] = -2.5, -5
    trace.sources["effect_versus"] = ("span", values)
    text = source_sentences(read_sources(trace), LAYERS)
    assert (
        "Hiding “Australia” changes ln p(answer) − ln p(“Sydney”) by −5.00 nats and hiding "
        "“capital” by −2.50 nats." in text
    )


def test_a_given_text_is_named_and_stands_at_no_position():
    trace = capital(target="Sydney harbour")
    trace.sources["step_position"].values[:] = -1
    assert evidence(trace).startswith("In the given text “Sydney harbour”, “Canberra” (0.65) rests")
    assert {word.start for word in read_sources(trace).words} == {-1}


def test_what_works_against_a_word_is_named_with_what_the_word_would_have():
    label = "works against the word"
    spans = [word_span(answered(), text, effects={"Canberra": (change, change, label)})
             for text, change in (("?", 0.1), ("What", 0.15))]  # fmt: skip
    assert "tested; “?” works against it (0.90 when hidden)." in _evidence_of(spans[:1])
    assert "; “What” and 1 more work against it (0.95 when hidden)." in _evidence_of(spans)


def test_of_a_word_that_is_never_likely_the_change_is_said():
    trace = capital(target="Sydney")
    trace.sources["logprob"].values[5] = -9
    text = evidence(trace)
    assert "“Canberra” (< 0.001) rests on “capital” (−6.48 nats when hidden with its copy" in text
    finding = observe(trace)[0].text
    assert "“capital” (−6.48 nats without it; −0.20 nats to +0.10 nats without" in finding


def test_a_part_that_acts_through_other_tokens_is_said_so():
    label = "through other tokens"
    span = word_span(answered(), "capital", effects={"Canberra": (-0.01, -0.01, label)})
    trace = with_sources(answered(), [span], ["Canberra"])
    trace.sources["effect_total"].values[0, 0] = -3
    assert evidence(trace).startswith(
        "“Canberra” (0.82) rests on no single part of the prompt that was tested; “capital” acts "
        "through other tokens (0.04 when hidden from them too)."
    )
