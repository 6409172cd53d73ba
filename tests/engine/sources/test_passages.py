"""What the tests say of prompts with passages: second copies, all evidence, coarse to fine."""

import pytest

from hand_set import HandSet, labels, layout, places, run


def documents(passages, question="When was the bridge opened?", answer="In 1962"):
    own = layout("\n\n".join([*passages, question]), answer)
    texts = own.tokens[: own.prompt_tokens]
    return own, [i for i, text in enumerate(texts) if text.strip() == "1962"]


PASSAGES = [
    "The old bridge was opened in 1962 by the mayor.",
    "The dam was built in the long valley of Orlin.",
    "The town is famous for its blue pottery and for wine.",
    "Cars crossed the bridge at last in the spring of 1962.",
    "Nobody knows how old the mill beside the river may be.",
]


def test_of_two_copies_of_a_fact_each_alone_has_little_effect_and_both_are_also_there():
    own, facts = documents(PASSAGES)
    result = run(own, HandSet(own, lambda s, hidden: -5.0 * (set(facts) <= hidden) - 0.02))
    named = labels(result, "1962")
    assert [text for text, label in named.items() if label == "also there"] == [
        PASSAGES[0], PASSAGES[3],
    ]  # fmt: skip
    assert "source" not in named.values()


def test_three_copies_are_also_there_and_a_decoy_that_was_hidden_first_is_not():
    own, facts = documents([*PASSAGES, "In 1962 the bridge was ready at long last."])
    assert len(facts) == 3

    def rule(step, hidden):  # the decoy has the strongest effect alone, and is none of them
        little = 0.05 * len(hidden & set(facts)) + 0.3 * (decoy in hidden)
        return -3.0 * (set(facts) <= hidden) - little

    decoy = next(i for i, text in enumerate(own.tokens) if text == " pottery")
    named = labels(run(own, HandSet(own, rule)), "1962")
    assert list(named.values()).count("also there") == 3
    assert named[PASSAGES[2]] != "also there"


def test_the_second_copy_of_a_source_is_also_there_and_the_source_stays_one():
    own, facts = documents(PASSAGES)

    def rule(step, hidden):
        return -1.0 * (facts[0] in hidden) - 3.0 * (set(facts) <= hidden)

    named = labels(run(own, HandSet(own, rule)), "1962")
    assert named[PASSAGES[0]] == "source"
    assert named[PASSAGES[3]] == "also there"


def test_what_random_passages_do_as_well_is_not_also_there():
    own, _ = documents(PASSAGES)
    fragile = HandSet(own, lambda step, hidden: -0.06 * len(hidden) * (len(hidden) > 14))
    assert "also there" not in labels(run(own, fragile), "1962").values()


def test_all_evidence_is_hidden_and_each_source_alone_is_sufficient_or_not():
    own, facts = documents(PASSAGES)

    def rule(step, hidden):
        return -0.1 - 4.0 * (facts[0] in hidden) - 2.0 * (len(hidden) > 30)

    result = run(own, HandSet(own, rule))
    assert result.dataset["effect_all_evidence"].values == pytest.approx([-6.0, -6.0])
    (row,) = (r for r in result.table() if r["label"] == "source")
    assert row["text"].strip() == PASSAGES[0]
    assert row["effect_sufficient"] == pytest.approx(-2.0)
    others = [r for r in result.table() if r["label"] != "source"]
    evidence = [r for r in others if r["role"] == "evidence"]
    assert all(r["effect_sufficient"] == pytest.approx(-6.0) for r in evidence)
    assert all(r["effect_sufficient"] is None for r in others if r not in evidence)


def alone(rule):
    """Return the labels of the passages under a rule over the numbers of the visible ones."""
    own, _ = documents(PASSAGES)
    starts = [own.tokens.index(text.split()[0]) for text in PASSAGES]

    def by_token(step, hidden):
        return rule({n for n, start in enumerate(starts) if start not in hidden})

    named = labels(run(own, HandSet(own, by_token)), "1962")
    return [named[text] for text in PASSAGES]


def test_a_passage_that_keeps_the_word_alone_is_also_there_though_others_outdo_it_together():
    def rule(visible):  # 3 states it too; with 1 and 2 in sight the model takes another value
        if 0 in visible:
            return 0.0
        return -0.2 if visible == {3} else -5.0

    named = alone(rule)
    assert named[0] == "source"
    assert named[3] == "also there"
    assert not {"source", "also there"} & {named[1], named[2], named[4]}


def test_what_every_passage_does_alone_is_not_also_there():
    named = alone(lambda visible: 0.0 if visible else -5.0)
    assert "source" not in named
    assert "also there" not in alone(lambda visible: -0.5 if len(visible) < 2 else 0.0)


def test_far_below_the_word_a_passage_must_give_back_half_of_what_all_evidence_costs():
    def rule(gain):
        return lambda visible: 0.0 if 0 in visible else -12.0 + gain * (4 in visible)

    assert "also there" not in alone(rule(5.9))
    assert alone(rule(6.1))[4] == "also there"


def test_a_passage_that_matters_only_once_the_source_is_hidden_and_gives_nothing_is_no_copy():
    def rule(visible):
        return 0.0 if 0 in visible else -9.0 - 3.0 * bool(visible) * (4 not in visible)

    named = alone(rule)
    assert named[0] == "source"
    assert "also there" not in named


def test_long_prompts_are_tested_coarse_to_fine():
    passages = [" ".join(f"Fact {n}{i} is w{n}x{i}." for i in range(4)) for n in range(30)]
    own = layout("\n\n".join([*passages, "Which is w17x2?"]), "Seventeen")
    texts = own.tokens[: own.prompt_tokens]
    place = next(i for i, text in enumerate(texts) if text.strip() == "w17x2")
    reader = HandSet(own, lambda step, hidden: -4.0 * (place in hidden))
    result = run(own, reader)
    rows = [row for row in result.table() if row["role"] == "evidence"]
    levels = [row["level"] for row in rows]
    assert levels.count("paragraph") == 30
    assert levels.count("sentence") == 4  # of the one paragraph with an effect
    assert [row["refined"] for row in rows].count(True) == 1
    assert {row["text"].strip() for row in rows if row["label"] == "source"} == {
        passages[17], "Fact 172 is w17x2."
    }  # fmt: skip
    finest = result.dataset["span_refined"].values == 0
    starts, stops = (result.dataset[name].values[finest] for name in ("span_start", "span_stop"))
    assert (starts[1:] >= stops[:-1]).all()


def test_a_word_of_the_question_that_the_answer_repeats_is_no_copy_of_a_passage():
    own = layout(
        "The old bridge was opened in 1962.\n\nThe dam is new.\n\nWhen was the bridge opened?",
        "The bridge was opened in 1962 , in 1962",
    )
    prompt, _ = places(own)
    reader = HandSet(own, lambda step, hidden: -0.1)
    run(own, reader)

    def copies_with(token):
        """Return the places of the answer that are hidden together with a token of the prompt."""
        return {
            own.tokens[part.start].strip()
            for variant in reader.read
            if any(part.start <= token < part.stop for part in variant)
            and not any(part.start == 1 and token != 1 for part in variant)
            for part in variant
            if part.start >= own.prompt_tokens
        }

    assert copies_with(1) == {"1962"}  # the first passage, which has "bridge" and "opened" too
    assert copies_with(prompt["bridge"]) == {"bridge"}
