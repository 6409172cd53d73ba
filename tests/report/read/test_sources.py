"""The group `sources` is read into plain facts by word: effects, labels, copies, layers."""

import numpy as np
import pytest

from answers import answered
from attentropy.engine.sources.labels import HALF
from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.redaction import redact
from attentropy.report.compare.difference import compare
from attentropy.report.content.source_tables import source_tables
from attentropy.report.read.sources import read_sources
from sourced import NAN, Made, capital, with_sources, word_span


def _with_layers(*shares, effect=-6.0):
    """Return the layers in which a source is read that has such shares of its effect."""
    trace = answered(layers=len(shares))
    part = word_span(
        trace, "capital", effects={"Canberra": (effect, effect, "source")}, band=(0, 0)
    )
    trace = with_sources(trace, [part], ["Canberra"])
    values = trace.sources["effect_from_layer"].values
    values[:] = 0
    values[0, :, 0] = effect * np.array(shares)
    return read_sources(trace).main.sources[0]


def test_effects_of_a_word_are_sums_over_its_tokens():
    sources = read_sources(capital())
    word = sources.main
    assert (word.text, word.stop - word.start, word.is_decisive) == ("Canberra", 2, True)
    assert word.probability == pytest.approx(0.65, abs=1e-6)
    first, second = word.sources
    assert [one.span.text for one in word.sources] == ["capital", "Australia"]
    assert word.changed(first.hidden) == pytest.approx(0.001)
    assert word.changed(first.alone) == pytest.approx(0.62)
    assert word.changed(second.hidden) == pytest.approx(0.002)
    assert [one.has_copies for one in (first, second)] == [True, False]
    assert sources.word_at(word.start + 1) is word
    assert sources.word_at(0) is None


def test_what_was_not_tested_is_missing_and_never_zero():
    sources = read_sources(capital())
    untested = [one for one in sources.main.effects if one.label == "not tested"]
    assert [one.span.text for one in untested] == ["of"]
    assert np.isnan([untested[0].hidden, untested[0].alone, untested[0].low]).all()
    assert sources.tested == len(sources.spans) - 1


def test_a_copy_is_an_earlier_word_of_the_answer():
    trace = capital()
    by_text = {span.text: span for span in read_sources(trace).spans}
    assert [trace.tokens[i].strip() for i in by_text["capital"].copies] == ["capital"]
    assert by_text["of"].copies == ()  # no content word


@pytest.mark.parametrize(
    ("shares", "band"),
    [
        ((1, 1, 0.1, 0, 0), (1, 1)), ((1, 0.9, 0.5, 0.3, 0.1), (1, 3)), ((1, 0, 0, 0, 0), (0, 0)),
        ((1, 1, 1, 1, 1), (4, 4)), ((1, 0.5, 0.9, 0.1, 0.3), (0, 4)), ((0.5, 0.4, 0, 0, 0), None),
        ((1, NAN, 1, 0.5, 0.1), (2, 3)), ((1, NAN, 0, 0, 0), None), ((1, 1, NAN, NAN, 0), None),
        ((1, 0, 0.1, NAN, 0), (0, 0)),
    ],
)  # fmt: skip
def test_a_source_is_read_between_the_layers_where_its_effect_falls(shares, band):
    assert _with_layers(*shares).reads == band


def test_no_layers_are_named_where_the_effect_is_none():
    assert _with_layers(1, 1, 0, effect=0.5).reads is None


def test_a_trace_without_the_group_and_a_comparison_have_no_sources():
    assert read_sources(answered()) is None
    assert read_sources(compare(capital(), capital())) is None


def test_a_group_with_few_variables_is_read():
    trace = capital()
    few = trace.sources[["span_start", "span_stop", "span_level", "span_role", "span_id",
                         "word_start", "word_stop", "word_decisive", "logprob", "effect_direct",
                         "label"]]  # fmt: skip
    trace.sources = few
    word = read_sources(trace).main
    assert word.sources[0].hidden == word.sources[0].alone
    assert np.isnan([word.template, word.evidence, word.sources[0].low]).all()
    assert word.sources[0].reads is None


def test_a_redacted_trace_names_roles_and_lengths():
    trace = capital()
    hidden = redact(trace)
    hidden.sources = trace.sources.drop_vars("step_text")
    sources = read_sources(hidden)
    assert sources.main.sources[0].span.text.startswith("asks at position ")
    texts = " ".join(span.text for span in sources.spans) + sources.main.text
    assert not [text for text in ("capital", "Canberra") if text in texts]


def test_long_texts_are_cut_and_control_characters_are_marked():
    trace = answered()
    part = Made(0, 8, level="segment", id="a\x00\u202eb" * 40)
    span = read_sources(with_sources(trace, [part], [])).spans[0]
    assert len(span.name) <= 62
    assert not [letter for letter in "\x00\u202e" if letter in span.name]
    assert pytest.approx(np.log(2)) == HALF


def test_a_name_that_segments_share_gives_way_to_their_texts():
    spans = [Made(5, 9, level="segment", id="document"), Made(9, 11, level="segment", id="a"),
             Made(11, 13, level="segment", id="document")]  # fmt: skip
    own = read_sources(with_sources(answered(), spans, [])).spans
    assert [span.is_named for span in own] == [False, True, False]
    assert own[0].name == own[0].text


def test_of_a_passage_and_its_part_the_word_rests_on_the_part():
    own = {"Canberra": (-5.0, -5.0, "source")}
    levels = ((3, 12, "paragraph"), (5, 9, "sentence"), (13, 15, "sentence"))
    spans = [Made(a, b, effects=own, level=level, role="evidence") for a, b, level in levels]
    word = read_sources(with_sources(answered(), spans, ["Canberra"])).main
    assert [one.span.start for one in word.sources] == [5, 13]
    assert [one.is_source for one in word.effects] == [True] * 3
    titles = [one.span.title for one in word.effects]
    assert [title.startswith("paragraph: ") for title in titles] == [True, False, False]


def test_right_to_left_names_stay_isolated_where_they_are_cut():
    hebrew = "\u05d0\u05d1\u05d2 " * 40
    part = Made(0, 8, level="segment", id=hebrew)
    name = read_sources(with_sources(answered(), [part], [])).spans[0].name
    assert (name[0], name[-1], name.count("\u2068")) == ("\u2068", "\u2069", 1)


def test_totals_have_their_own_control_and_removal_is_no_hiding():
    trace = capital()
    low = trace.sources["control_low"]
    trace.sources["control_total_low"] = low - 0.1
    trace.sources["effect_remove"].values[1, :] = -1
    one = read_sources(trace).main.sources[0]
    assert (one.low, one.total_low) == pytest.approx((-0.2, -0.3))
    assert (one.removed, one.hidden) == pytest.approx((-2, np.log(0.001 / 0.65)))


def test_what_copies_do_alone_is_read_where_it_was_measured():
    trace = capital()
    values = np.full((trace.sources.sizes["span"], trace.sources.sizes["step"]), NAN)
    values[1] = -0.25
    sources = trace.sources.assign(effect_copies=(("span", "step"), values))
    word = read_sources(Trace(trace.dataset, sources)).main
    effects = {one.span.index: one.copies for one in word.effects}
    assert effects.pop(1) == pytest.approx(-0.5)  # of two tokens
    assert np.isnan(list(effects.values())).all()
    (table,) = source_tables(read_sources(Trace(trace.dataset, sources)), ["0"] * 6).values()
    names = [column.name for column in table.columns]
    assert [row[names.index("its copies alone")] for row in table.rows].count("−0.500") == 1
    (table,) = source_tables(read_sources(trace), ["0"] * 6).values()
    assert "its copies alone" not in [column.name for column in table.columns]
