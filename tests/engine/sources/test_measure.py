"""What the tests say of answers whose numbers are set by hand."""

import math

import numpy as np
import pytest

from attentropy.engine.errors import UsageError
from attentropy.engine.sources.measure import SourceOptions, expected_tests, measure
from attentropy.engine.sources.reads import BudgetTooSmall
from hand_set import LAYERS, PACE, HandSet, labels, layout, places, run

SYSTEM = "You are a kind and helpful assistant, here to help people"
QUESTION = "What is the capital of Australia?"
LN2 = math.log(2)


def capital():
    own = layout(QUESTION, "Canberra", system=SYSTEM)
    return own, places(own)[0]


def only(sources, name, text):
    rows = [row for row in sources.table() if row["text"].strip() == text]
    assert len(rows) == 1
    return rows[0][name]


def test_an_effect_is_that_of_a_word_over_all_its_tokens():
    own = layout(QUESTION, ["Can", "berra", " it", " is"])
    prompt, _ = places(own)

    def rule(step, hidden):
        return (-1.0, -0.5, -0.1, -0.1)[step] - 2.0 * (prompt["Australia"] in hidden)

    result = run(own, HandSet(own, rule))
    (row,) = (r for r in result.table() if r["text"] == " Australia")
    assert row["word_text"] == "Canberra"
    assert row["probability"] == pytest.approx(math.exp(-1.5))
    assert row["effect_direct"] == pytest.approx(-4)
    assert row["probability_hidden"] == pytest.approx(math.exp(-5.5))
    assert result.dataset["word_stop"].values.tolist() == [2, 3, 4]


@pytest.mark.parametrize(
    ("effect", "label"),
    [
        (-LN2 - 1e-6, "source"),
        (-LN2 + 1e-6, "attended, no effect"),
        (LN2 + 1e-6, "works against the word"),
        (LN2 - 1e-6, "attended, no effect"),
    ],
)
def test_a_source_makes_its_word_less_than_half_as_probable(effect, label):
    own, at = capital()
    heavy = {at["capital"]: 0.1}
    reader = HandSet(own, lambda step, hidden: effect * (at["capital"] in hidden), mass=heavy)
    assert labels(run(own, reader), "Canberra")["capital"] == label


@pytest.mark.parametrize(("noise", "label"), [(0.2, "source"), (0.3, "no effect")])
def test_an_effect_must_be_below_three_times_the_noise_of_hiding_nothing(noise, label):
    own, at = capital()
    reader = HandSet(own, lambda step, hidden: -0.8 * (at["capital"] in hidden), noise=noise)
    result = run(own, reader)
    assert result.dataset.attrs["noise"] == pytest.approx(noise)
    assert result.dataset.attrs["floor"] == pytest.approx(3 * noise)
    expected = label if label == "source" else ("no effect", "attended, no effect")
    assert labels(result, "Canberra")["capital"] in expected


def test_the_floor_is_a_tenth_of_a_nat_without_noise():
    own, _ = capital()
    assert run(own, HandSet(own, lambda step, hidden: 0.0)).dataset.attrs["floor"] == 0.1


def test_an_effect_that_random_tokens_have_too_is_no_source():
    own, at = capital()
    result = run(own, HandSet(own, lambda step, hidden: -0.69 * len(hidden)))
    assert "source" not in labels(result, "Canberra").values()
    result = run(own, HandSet(own, lambda s, hidden: -0.6 * len(hidden) - (at["of"] in hidden)))
    assert only(result, "label", "of") == "source"
    assert only(result, "control_low", "of") == pytest.approx(-0.6)


def test_single_tokens_are_controls_of_each_other_without_further_readings():
    own, at = capital()
    reader = HandSet(own, lambda step, hidden: -3.0 * (at["capital"] in hidden))
    result = run(own, reader)
    assert only(result, "control_draws", "capital") == 18  # all tokens of both messages but itself
    single = [v for v in reader.read if len(v) == 1 and v[0].stop - v[0].start == 1]
    single = [v for v in single if v[0].layers is None]
    assert len(single) == len(set(single))


def test_fewer_than_five_draws_are_no_control_and_the_rule_alone_decides():
    own = layout("Name it, Canberra?", "Sydney")
    prompt, _ = places(own)
    result = run(own, HandSet(own, lambda step, hidden: -0.8 * (prompt["Canberra"] in hidden)))
    assert only(result, "control_draws", "Canberra") == 0
    assert only(result, "control_low", "Canberra") is None
    assert only(result, "label", "Canberra") == "source"


def test_only_the_eight_strongest_spans_have_a_control():
    own = layout(" ".join(f"word{i}" for i in range(30)) + "?", "Sydney")
    result = run(own, HandSet(own, lambda step, hidden: -0.01 * sum(hidden)))
    draws = result.dataset["control_draws"].values
    assert np.flatnonzero(draws).tolist() == list(range(23, 31))


def restated():
    own = layout(QUESTION, "The CAPITAL of Australia is Canberra", system=SYSTEM)
    prompt, answer = places(own)

    def rule(step, hidden):
        is_last = own.tokens[own.prompt_tokens + step] == " Canberra"
        copied = prompt["capital"] in hidden and answer["CAPITAL"] in hidden
        return -0.5 - is_last * (6.0 * copied + 0.05 * (prompt["capital"] in hidden))

    return own, prompt, answer, rule


def test_a_span_is_hidden_with_its_copies_whatever_their_case_from_the_row_after_them_on():
    own, prompt, answer, rule = restated()
    reader = HandSet(own, rule)
    result = run(own, reader)
    assert only(result, "effect_direct", "capital") == pytest.approx(-0.05)
    assert only(result, "effect_with_copies", "capital") == pytest.approx(-6.05)
    assert only(result, "label", "capital") == "source"
    assert only(result, "label", "Australia") in ("no effect", "attended, no effect")
    at, copy = prompt["capital"], answer["CAPITAL"]
    parts = {(i.start, i.stop, i.first_row) for v in reader.read for i in v if i.layers is None}
    assert (at, at + 1, own.prompt_tokens - 1) in parts
    assert (copy, copy + 1, copy + 1) in parts
    assert not any(own.prompt_tokens <= a < copy for a, _, _ in parts)  # "The" is no content word


def with_grammar():
    """Return an answer whose last word falls for want of the copy, whatever the prompt's word."""
    own = layout(QUESTION, "The capital of Australia is Canberra", system=SYSTEM)
    prompt, answer = places(own)

    def rule(step, hidden):
        is_last = own.tokens[own.prompt_tokens + step] == " Canberra"
        lacks = {"Australia", "capital"} & {own.tokens[i].strip() for i in hidden if i in answers}
        return -0.5 - is_last * (3.0 * bool(lacks) + 2.0 * (prompt["Australia"] in hidden))

    answers = set(answer.values())
    return own, prompt, answer, rule


def test_what_the_copies_alone_do_is_no_effect_of_the_span():
    own, _, _, rule = with_grammar()
    result = run(own, HandSet(own, rule))
    assert only(result, "effect_with_copies", "capital") == pytest.approx(-3.0)
    assert only(result, "effect_copies", "capital") == pytest.approx(-3.0)
    assert only(result, "label", "capital") in ("no effect", "attended, no effect")
    assert only(result, "label", "Australia") == "source"
    assert only(result, "effect_copies", "Australia") is None  # its direct effect decides


def test_a_span_whose_copies_the_budget_leaves_out_has_no_label_by_them():
    own, _, _, rule = with_grammar()
    own_labels = set[str]()
    for budget in range(18, 28):
        result = run(own, HandSet(own, rule), budget=float(budget))
        if only(result, "effect_with_copies", "capital") is not None:
            name = only(result, "label", "capital")
            own_labels.add(name)
            assert (name == "not tested") == (only(result, "effect_copies", "capital") is None)
    assert len(own_labels) > 1


def test_a_span_without_a_copy_has_one_figure_and_one_reading():
    own, at = capital()
    result = run(own, HandSet(own, lambda step, hidden: -1.0 * (at["capital"] in hidden)))
    assert result.dataset["effect_direct"].identical(
        result.dataset["effect_with_copies"].rename("effect_direct")
    )


def test_a_sink_is_no_content_word_with_a_fifth_of_the_mass_and_stays_visible():
    own = layout("Which city, the capital of Australia?", "Canberra", system=SYSTEM)
    prompt, _ = places(own)
    mass = {0: 0.3, prompt["the"]: 0.2, prompt["capital"]: 0.3, prompt["of"]: 0.19}
    reader = HandSet(own, lambda step, hidden: -9.0 * (0 in hidden), mass=mass)
    result = run(own, reader, level="sentence")
    sinks = [row for row in result.table() if row["label"] == "sink"]
    assert [row["text"] for row in sinks] == ["<s>", " the"]
    assert [row["role"] for row in sinks] == ["sink", "sink"]
    assert all(row["effect_direct"] is None for row in sinks)
    hidden = {i for v in reader.read for part in v for i in range(part.start, part.stop)}
    assert not hidden & {0, prompt["the"]}
    assert {prompt["capital"], prompt["of"]} <= hidden


def test_the_template_is_hidden_as_a_group_up_to_the_last_position():
    own, at = capital()
    template = {at["<s>"], at["<u>"]}
    result = run(own, HandSet(own, lambda step, hidden: -2.0 * (template <= hidden)))
    assert result.dataset["effect_template"].values == pytest.approx([-2.0])
    assert "<u>" not in labels(result, "Canberra")


def test_without_evidence_there_is_no_effect_of_hiding_it():
    own, _ = capital()
    result = run(own, HandSet(own, lambda step, hidden: 0.0))
    assert np.isnan(result.dataset["effect_all_evidence"].values).all()


def test_what_acts_through_other_tokens_has_a_total_effect_alone():
    own, at = capital()

    def total(step, hidden):
        return -3.0 * (at["capital"] in hidden)

    heavy = {at["capital"]: 0.1}
    result = run(own, HandSet(own, lambda step, hidden: 0.0, total=total, mass=heavy))
    assert only(result, "label", "capital") == "through other tokens"
    assert only(result, "effect_total", "capital") == pytest.approx(-3)
    row = result.dataset["effect_total"].values[:, 0]
    assert 8 <= np.isfinite(row).sum() <= 16  # the strongest and the most attended alone
    low = result.dataset["control_total_low"].values
    assert np.isfinite(low).any(1).sum() == 1


def test_a_total_effect_that_five_random_tokens_have_too_is_none():
    own, _ = capital()

    def total(step, hidden):
        return -3.0 * bool(hidden)

    result = run(own, HandSet(own, lambda step, hidden: 0.0, total=total))
    assert "through other tokens" not in labels(result, "Canberra").values()


def test_what_the_budget_leaves_out_is_not_tested_and_never_zero():
    own, at = capital()
    reader = HandSet(own, lambda step, hidden: -3.0 * (at["capital"] in hidden),
                     mass={at["capital"]: 0.1, at["of"]: 0.09})  # fmt: skip
    result = run(own, reader, budget=7.5)  # a second per reading: see below
    named = labels(result, "Canberra")
    assert named["capital"] == "source"
    assert list(named.values()).count("not tested") == len(named) - 3
    assert result.dataset.attrs["not_tested"] == len(named) - 3
    effects = result.dataset["effect_direct"].values[:, 0]
    assert np.isfinite(effects).sum() == 3
    assert result.dataset.attrs["notes"] != []
    assert len(reader.read) == 1 + 2 + 4  # each batch hides nothing in one variant


def test_a_budget_that_does_not_pay_for_every_span_reads_nothing_where_all_are_wanted():
    own, at = capital()
    reader = HandSet(own, lambda step, hidden: -3.0 * (at["capital"] in hidden))
    with pytest.raises(BudgetTooSmall):
        run(own, reader, budget=7.5, is_whole=True)
    assert len(reader.read) == 3  # nothing hidden, and a batch of the template
    whole = run(own, HandSet(own, lambda step, hidden: 0.0), budget=100.0, is_whole=True)
    assert whole.dataset.attrs["not_tested"] == 0


def test_parts_that_the_budget_does_not_pay_for_end_the_tests_where_all_are_wanted():
    text = " ".join(f"The fact number{i} is here." for i in range(20))
    own = layout(f"{text} {QUESTION}", "Canberra")
    reader = HandSet(own, lambda step, hidden: -3.0 * (places(own)[0]["fact"] in hidden))
    partial = run(own, reader, level="word", budget=30.0)
    assert {"sentence", "word"} == set(partial.dataset["span_level"].values)
    assert partial.dataset.attrs["not_tested"] > 0
    partly = len(reader.read)
    reader.read.clear()
    with pytest.raises(BudgetTooSmall):
        run(own, reader, level="word", budget=30.0, is_whole=True)
    assert 20 < len(reader.read) < partly


def test_the_number_of_readings_and_their_time_are_known_before_the_first():
    own, at = capital()
    reader = HandSet(own, lambda step, hidden: -3.0 * (at["capital"] in hidden))
    prediction = expected_tests(own, LAYERS)
    assert reader.read == []
    attrs = run(own, reader).dataset.attrs
    assert attrs["predicted_passes"] == prediction.tests
    assert attrs["predicted_seconds"] == prediction.seconds(PACE)
    assert attrs["passes"] <= 1.5 * prediction.tests


def test_the_prompt_can_be_read_again_without_each_span():
    own, at = capital()
    reader = HandSet(own, lambda step, hidden: -3.0 * (at["capital"] in hidden))
    assert np.isnan(run(own, reader).dataset["effect_remove"].values).all()
    assert only(run(own, reader, how="remove"), "effect_remove", "capital") == pytest.approx(-3)


def test_effects_compared_with_another_text_are_those_on_the_difference():
    own, at = capital()
    reader = HandSet(own, lambda step, hidden: -3.0 * (at["capital"] in hidden))
    other = layout(QUESTION, "Sydney it is", system=SYSTEM)
    rival = HandSet(other, lambda step, hidden: -0.5 * (at["capital"] in hidden))
    result = measure(own, reader, range(LAYERS), PACE, SourceOptions(), rival=rival)
    values = result.dataset["effect_versus"].values
    starts = result.dataset["span_start"].values.tolist()
    assert values[starts.index(at["capital"])] == pytest.approx(-3.0 + 3 * 0.5)
    assert values[starts.index(at["of"])] == pytest.approx(0)


def test_an_answer_without_tokens_and_a_prompt_of_one_part_are_refused():
    own, _ = capital()
    with pytest.raises(UsageError, match="the answer has no tokens"):
        expected_tests(layout(QUESTION, ""), LAYERS)
    with pytest.raises(UsageError, match="one part to test at this level"):
        expected_tests(layout(QUESTION, "Canberra"), LAYERS, "message")
    with pytest.raises(UsageError, match="is not a level; use auto"):
        run(own, HandSet(own, lambda step, hidden: 0.0), level="page")
