"""A model with hand-set weights, of which it is known what each answer rests on."""

import math

import numpy as np
import pytest

import hand_made
from attentropy.engine.model.load import LoadedModel
from attentropy.engine.sources.cost import Speed
from attentropy.engine.sources.layout import Layout
from attentropy.engine.sources.measure import SourceOptions, measure
from attentropy.engine.sources.reader import HiddenReader

WORDS = hand_made.vocabulary()


@pytest.fixture(scope="module")
def loaded():
    return LoadedModel(hand_made.model(WORDS), None, "hand-made", None)


def passage(i, word):
    """Return a passage of six words, one of them `word`."""
    fill = [f"fill{(i + n) % 12}" for n in range(6)]
    return [*fill[:2], word, *fill[3:]]


def run(loaded, words, answer="value1", question=("fill0", "key0"), **options):
    """Return the sources of an answer to passages, each with one of the words."""
    passages = [passage(i, word) for i, word in enumerate(words)]
    tokens = ["<s>", *[t for own in passages for t in own], *question, "<a>"]
    names = ["", *[f"p{i}" for i, own in enumerate(passages) for _ in own]]
    names += ["question"] * len(question) + [""]
    count, reply = len(tokens), answer.split()
    tokens = tokens + reply
    ids = [WORDS.ids[token] for token in tokens]
    roles = ["bos"] + ["content"] * (count - 2) + ["template"] + ["generated"] * len(reply)
    spaced = [token if i in (0, count - 1) else f" {token}" for i, token in enumerate(tokens)]
    own = Layout(
        spaced, roles, count, [-1] + [0] * (count - 2) + [-1], names, ["user"],
        special=frozenset({0, count - 1}),
    )  # fmt: skip
    reader = HiddenReader(loaded, ids, count)
    return measure(own, reader, range(2), Speed(1.0, count, len(reply)), SourceOptions(**options))


def labels(sources, word=None):
    """Return the label of each span of a decisive word, by its id or its text."""
    rows = [row for row in sources.table() if word in (None, row["word_text"])]
    return {
        row["text"].strip() if row["id"] in ("", "question") else row["id"]: row["label"]
        for row in rows
    }


def row(sources, name):
    return next(r for r in sources.table() if name in (r["id"], r["text"].strip()))


DECOYS = ["fact10", "fact22", "fill9", "fact11", "fill3"]


def test_the_fact_and_the_word_of_the_question_are_the_sources_and_nothing_else(loaded):
    result = run(loaded, [*DECOYS[:2], "fact01", *DECOYS[2:]])
    named = labels(result)
    assert {name for name, label in named.items() if label == "source"} == {"p2", "key0"}
    assert set(named.values()) == {"source", "attended, no effect"}
    assert row(result, "p2")["probability"] > 0.9
    assert row(result, "p2")["probability_hidden"] == pytest.approx(1 / len(WORDS.parts), rel=0.01)
    assert row(result, "p2")["control_draws"] == 20
    assert abs(row(result, "p0")["effect_direct"]) < 1e-3


def test_each_source_is_read_in_the_layer_that_reads_it(loaded):
    result = run(loaded, [*DECOYS[:2], "fact01", *DECOYS[2:]]).dataset
    from_layer = result["effect_from_layer"].values[..., 0]
    tested = np.flatnonzero(np.isfinite(from_layer).all(1))
    ids = result["span_id"].values[tested].tolist()
    fact, question = from_layer[tested[ids.index("p2")]], from_layer[tested[ids.index("question")]]
    assert fact == pytest.approx([fact[0], fact[0]], rel=1e-3)  # layer 1 reads it
    assert question[0] < -1
    assert question[1] == pytest.approx(0, abs=1e-6)  # layer 0 does


def test_two_copies_are_also_there_and_a_decoy_with_the_same_value_is_not(loaded):
    result = run(loaded, ["fact01", "fact11", "fill1", "fact01", "fact22", "fact21"])
    named = labels(result)
    assert {name for name, label in named.items() if label == "also there"} == {"p0", "p3"}
    assert {name for name, label in named.items() if label == "source"} == {"key0"}
    for name in ("p0", "p3"):
        assert abs(row(result, name)["effect_direct"]) < math.log(2)
    assert result.dataset["effect_all_evidence"].values[0] < -2


def test_three_copies_are_all_also_there(loaded):
    named = labels(run(loaded, ["fact01", "fill4", "fact01", "fact11", "fact01", "fact22"]))
    assert {n for n, label in named.items() if label == "also there"} == {"p0", "p2", "p4"}


def test_each_copy_alone_is_sufficient(loaded):
    result = run(loaded, ["fact01", "fact11", "fill1", "fact01", "fact22", "fact21"])
    for name in ("p0", "p3"):
        assert row(result, name)["effect_sufficient"] > -math.log(2)
    assert row(result, "p1")["effect_sufficient"] < -2


def test_what_a_carrier_brings_acts_through_other_tokens(loaded):
    result = run(loaded, ["deep01", "fill1", "fact11", "copy0", "fact22", "fill3"])
    named = labels(result)
    assert named["p0"] == "through other tokens"
    assert named["p3"] == "source"
    assert abs(row(result, "p0")["effect_direct"]) < 1e-3
    assert row(result, "p0")["effect_total"] < -2


def test_a_fact_with_another_value_works_against_the_word(loaded):
    result = run(loaded, ["fact01", "fact02", "fill1", "fact11", "fact22", "fill2"])
    named = labels(result)
    assert named["p0"] == "source"
    assert named["p1"] == "works against the word"


def test_attention_alone_is_no_source(loaded):
    result = run(loaded, ["fact01", "blind0", "fill1", "fact11", "fact22", "fill2"])
    named = labels(result)
    assert row(result, "p1")["attention_mass"] == pytest.approx(
        row(result, "p0")["attention_mass"], rel=1e-3
    )
    assert named["p1"] != "source"
    assert named["p0"] == "source"


def test_a_word_that_the_answer_repeats_is_a_source_with_its_copy(loaded):
    result = run(
        loaded, [*DECOYS[:2], "fact01", *DECOYS[2:]], answer="key0 is value1"
    )  # fmt: skip
    named = labels(result, "value1")
    own = row(result, "key0")
    assert named["key0"] == "source"
    assert abs(own["effect_direct"]) < 0.1
    assert own["effect_with_copies"] < -2
    assert [r["word_text"] for r in result.table()] == ["value1"] * len(result.table())


def test_rows_that_look_for_nothing_make_the_first_token_a_sink(loaded):
    result = run(loaded, [*DECOYS[:2], "fact01", *DECOYS[2:]], answer="value1 fill0 fill1")
    sink = row(result, "<s>")
    assert sink["label"] == "sink"
    assert sink["attention_mass"] == pytest.approx(2 / 3, abs=0.01)
    assert sink["effect_direct"] is None


def test_hiding_nothing_is_the_model_itself(loaded):
    result = run(loaded, [*DECOYS[:2], "fact01", *DECOYS[2:]])
    assert result.dataset.attrs["noise"] < 1e-9
