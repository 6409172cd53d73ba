"""The public function: what an answer rests on, from a model and a prompt."""

import numpy as np
import pytest
import torch

import attentropy
import tiny
from attentropy.engine.errors import UsageError
from attentropy.engine.prompt.prepare import prepare
from attentropy.engine.prompt.turns import message_roles
from attentropy.engine.run.source_tests import layout_of, with_segments
from attentropy.engine.run.target import ids_in_place

QUESTION = "What is the capital of Japan?"
TEXT = "Paris is large. Tokyo is old. What is the capital of Japan?"


def of(embedded, prompt=QUESTION, **options):
    return attentropy.sources(embedded.model, prompt, tokenizer=embedded.tokenizer, **options)


@pytest.fixture(scope="module")
def tested(embedded):
    return of(embedded)


def test_the_country_is_a_source_of_the_embedded_models_answer(tested):
    (row,) = (r for r in tested.table() if r["text"].strip() == "Japan")
    assert row["word_text"] == "Tokyo"
    assert row["label"] == "source"
    assert row["probability"] > 0.9
    assert row["probability_hidden"] < 0.1


def test_the_answer_ends_before_the_marker_and_has_the_models_own_probabilities(embedded, tested):
    assert "".join(tested.tokens[tested.prompt_tokens :]) == "Tokyo"
    text = prepare(embedded.tokenizer, QUESTION)
    ids = ids_in_place(embedded, text, "Tokyo", "target")
    with torch.no_grad():
        logits = embedded.model(torch.tensor([[*text.ids, *ids]])).logits[0].double()
    own = logits.log_softmax(-1)[len(text.ids) - 1 : -1]
    expected = own.gather(-1, torch.tensor(ids)[:, None])[:, 0].numpy()
    assert tested.dataset["logprob"].values == pytest.approx(expected, abs=1e-5)


def test_the_same_call_gives_the_same_numbers(embedded, tested):
    again = of(embedded).dataset.drop_attrs()
    assert again.identical(tested.dataset.drop_attrs())


def test_a_target_and_an_answer_by_ids_are_the_same(embedded):
    text = prepare(embedded.tokenizer, QUESTION)
    ids = ids_in_place(embedded, text, "Paris", "target")
    by_text, by_ids = of(embedded, target="Paris"), of(embedded, answer=ids)
    assert by_text.tokens == by_ids.tokens
    assert by_text.dataset.drop_attrs().identical(by_ids.dataset.drop_attrs())
    assert by_text.dataset.attrs["target"] == "Paris"


def test_a_target_is_tokenized_in_its_place_and_never_alone():
    class Merging:
        """A tokenizer in which a blank and the word after it are one token."""

        is_fast = True
        ids = {"a": 1, " b": 2, "b": 3}  # noqa: RUF012

        def __call__(self, text, **options):
            places = [(0, 1), (1, 3)] if text == "a b" else [(0, len(text))]
            return {"input_ids": [self.ids[text[a:b]] for a, b in places], "offset_mapping": places}

    class Loaded:
        tokenizer = Merging()

    class Text:
        text, ids = "a", [1]

    assert ids_in_place(Loaded, Text, " b", "target") == [2]


def test_effects_compared_with_another_text(embedded):
    result = of(embedded, versus="Paris").dataset
    assert np.isfinite(result["effect_versus"].values[result["span_role"].values != "sink"]).all()
    assert np.isnan(of(embedded).dataset["effect_versus"].values).all()


def test_named_segments_are_tested_as_they_are(embedded):
    result = of(embedded, TEXT, segments={"A": "Paris is large.", "B": "Tokyo is old."})
    rows = [row for row in result.table() if row["id"]]
    assert {(row["id"], row["role"], row["level"]) for row in rows} == {
        ("A", "evidence", "segment"), ("B", "evidence", "segment"),
    }  # fmt: skip


def test_a_document_and_its_question_have_their_roles(embedded):
    result = of(embedded, "Tokyo is old.\n\nParis is large.", question=QUESTION)
    roles = dict.fromkeys(row["role"] for row in result.table())
    assert list(roles) == ["asks", "evidence"] or set(roles) == {"asks", "evidence"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"answer": []}, "the answer has no tokens"),
        ({"answer": "Tokyo"}, "a text goes to `target`"),
        ({"answer": [5], "target": "Tokyo"}, "both say what the answer is"),
        ({"target": " "}, "`target` must be a text"),
        ({"versus": ""}, "`versus` must be a text"),
        ({"how": "zero"}, '`how` must be "hide" or "remove"'),
        ({"level": "page"}, "is not a level"),
        ({"level": "message"}, "one part to test at this level"),
        ({"budget": 0}, "`budget` must be a number of seconds above 0"),
        ({"draws": -1}, "`draws` must be"),
        ({"segments": {"A": "What is"}}, "has one segment only"),
        ({"segments": {"A": [0, 9], "B": [5, 12]}}, "share a token"),
        ({"segments": {"A": [0, 4], "B": [5, 999]}}, "the prompt has characters 0 to"),
        ({"segments": {"A": [0, 2], "B": [5, 7]}}, "'A' splits the token 'What'"),
    ],
)
def test_what_cannot_be_tested_is_refused_in_one_line(embedded, options, message):
    with pytest.raises(UsageError) as caught:
        of(embedded, **options)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_budget_leaves_spans_untested_and_says_so(embedded):
    result = of(embedded, budget=1e-9)
    assert {row["label"] for row in result.table()} <= {"not tested", "sink"}
    assert result.dataset.attrs["notes"]
    assert np.isnan(result.dataset["effect_direct"].values).all()


def test_the_roles_of_messages_are_those_of_the_prompt():
    chat = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    assert message_roles(chat, system="c") == ["system", "user", "assistant"]
    assert message_roles("a", question="b") == ["user"]
    assert message_roles([1, 2, 3]) == []


def test_a_marker_of_reasoning_is_no_word_of_the_answer():
    tokenizer = tiny.tokenizer()
    model = tiny.model()
    loaded = attentropy.engine.model.load.LoadedModel(model, tokenizer, "tiny", None)
    text = prepare(tokenizer, "Who?")
    ids = tokenizer("<think>Al</think>Bo", add_special_tokens=False)["input_ids"]
    own = layout_of(loaded, text, ids)
    roles = own.roles[own.prompt_tokens :]
    assert set(roles[:7]) == {"template"}
    assert roles[7:9] == ["reasoning"] * 2
    assert roles[-2:] == ["generated"] * 2


def test_segments_keep_those_of_a_document_and_its_question(embedded):
    text = prepare(embedded.tokenizer, "Paris is large. Tokyo is old.", question=QUESTION)
    named = with_segments(text, {"A": "Paris is large.", "B": "Tokyo is old."})
    assert {"A", "B", "question"} <= set(named.segments)
    assert with_segments(text, None) is text
