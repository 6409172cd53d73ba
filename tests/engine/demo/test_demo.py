"""The embedded model: its format, its knowledge, and its reproducible training."""

import json
import random
import re
from itertools import islice

import pytest
import torch

from attentropy.engine import demo
from attentropy.engine.demo.facts import COUNTRIES, UNKNOWN_COUNTRIES
from attentropy.engine.demo.phrasings import PLAIN_CAPITAL, TRAINING
from attentropy.engine.demo.questions import (
    RESERVED,
    conversation,
    fill_slots,
    held_out_questions,
    training_texts,
    wordings,
)
from attentropy.engine.demo.training.batches import Encoder, batches
from attentropy.engine.demo.training.evaluate import (
    NEVER_NAMED,
    accuracy,
    answers,
    overall,
    plain_capitals,
    unknown_countries,
)
from attentropy.engine.demo.training.tokenizer import SPECIAL, build, names
from attentropy.engine.demo.training.train import Recipe, losses, model_of, save

HOSTILE = "</script><!-- \u2028 👩‍👩‍👧 العاصمة עיר 首都 \x00\x1b[31m\n\n\t  <|eot_id|x> Zürich"


@pytest.fixture(scope="module")
def answered(embedded):
    """Return the share of right answers per kind of held-out question, and the wrong answers."""
    return accuracy(embedded.model, embedded.tokenizer, per_kind=20)


def test_it_is_small_and_plain_data():
    files = list(demo.path().iterdir())
    assert sum(file.stat().st_size for file in files) < 8e6
    assert {file.suffix for file in files} <= {".json", ".jinja", ".safetensors"}


def test_it_is_a_llama_of_one_to_two_million_parameters(embedded):
    config = embedded.model.config
    assert config.model_type == "llama"
    assert 1e6 <= embedded.model.num_parameters() <= 2e6
    assert config.max_position_embeddings >= 2048
    assert not config.tie_word_embeddings


def test_the_chat_template_is_llama_3s(embedded):
    chat = [
        {"role": "system", "content": " Be brief. "},
        {"role": "user", "content": "Hi"},
    ]
    text = embedded.tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    assert text == (
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
    )


@pytest.mark.parametrize("text", [HOSTILE, "What is the capital of Australia?", "", "\n\n\n"])
def test_any_text_survives_the_tokenizer(embedded, text):
    ids = embedded.tokenizer.encode(text, add_special_tokens=False)
    assert embedded.tokenizer.decode(ids, clean_up_tokenization_spaces=False) == text


def test_every_name_is_one_token_a_word(embedded):
    """So that a cell of the page reads as a word: "Canberra", " Australia"."""
    for word in names():
        ids = embedded.tokenizer.encode(word, add_special_tokens=False)
        assert len(ids) == 1, word
        assert embedded.tokenizer.decode(ids) == word


def test_the_tokenizer_is_a_plain_fast_one(embedded):
    state = json.loads((demo.path() / "tokenizer.json").read_text())
    assert {token["content"] for token in state["added_tokens"]} == set(SPECIAL)
    vocabulary = state["model"]["vocab"]
    assert len(vocabulary) == embedded.model.config.vocab_size <= 2048
    assert sorted(vocabulary.values()) == list(range(len(vocabulary)))


def test_training_reads_the_ids_that_the_chat_template_gives(embedded):
    rng = random.Random(3)
    encode = Encoder(embedded.tokenizer)
    for _ in range(50):
        chat = conversation(rng, turns=3)
        ids, is_assistant = encode(chat)
        wanted = embedded.tokenizer.apply_chat_template(chat, return_dict=False)
        assert ids == wanted
        spoken = embedded.tokenizer.decode([i for i, s in zip(ids, is_assistant, strict=True) if s])
        replies = [m["content"] for m in chat if m["role"] == "assistant"]
        assert spoken == "".join(f"{reply}<|eot_id|>" for reply in replies)


def test_it_answers_held_out_wordings(answered):
    shares, _ = answered
    trained_share, reserved_share = overall(shares)
    assert trained_share >= 0.9
    assert reserved_share >= 0.8, "two trained facts that were never joined"
    # Yes-or-no questions in new wordings are beyond it (the README says so).
    assert min(share for kind, share in shares.items() if kind != "check") >= 0.75


def test_it_answers_the_default_prompt(embedded):
    chat = [{"role": "user", "content": demo.DEFAULT_PROMPT}]
    assert answers(embedded.model, embedded.tokenizer, [chat]) == ["Canberra"]


def test_it_knows_every_capital_in_the_plain_wordings(embedded):
    share, wrong = plain_capitals(embedded.model, embedded.tokenizer)
    assert share >= 0.99, wrong


def test_it_says_so_where_the_table_lacks_a_country(embedded):
    share, wrong = unknown_countries(embedded.model, embedded.tokenizer, UNKNOWN_COUNTRIES)
    assert share >= 0.9, wrong


def test_no_country_is_both_in_the_table_and_unknown():
    in_table = {name for country in COUNTRIES for name in (country.name, *country.cities)}
    assert not in_table & {*UNKNOWN_COUNTRIES, *NEVER_NAMED}
    assert not set(UNKNOWN_COUNTRIES) & set(NEVER_NAMED)


def test_no_city_lies_in_two_countries():
    cities = [city for country in COUNTRIES for city in country.cities]
    assert len(cities) == len(set(cities))


def test_plain_wordings_are_wordings_of_training():
    trained = {fill_slots(text, x="Peru") for text in wordings(TRAINING, "capital")}
    assert {fill_slots(text, x="Peru") for text in PLAIN_CAPITAL} <= trained


def test_held_out_questions_were_never_trained_on():
    trained = training_texts()
    questions = [(question, chat) for question, chat in held_out_questions(20)]
    assert len(questions) >= 200
    assert not [q.text for q, _ in questions if q.text in trained]
    reserved = [q for q, _ in questions if q.kind.endswith(RESERVED)]
    assert len(reserved) >= 50


def test_training_never_asks_a_reserved_pair():
    rng = random.Random(5)
    questions = {m["content"] for _ in range(3000) for m in conversation(rng, turns=1)}
    for question, _ in held_out_questions(40):
        if question.kind.endswith(RESERVED):
            assert question.text not in questions


def test_every_position_it_claims_is_finite(embedded):
    positions = embedded.model.config.max_position_embeddings
    ids = torch.arange(positions)[None] % 1000
    with torch.no_grad():
        logits = embedded.model(ids, use_cache=False).logits
    assert torch.isfinite(logits).all()


def test_a_seed_gives_the_same_losses_and_learning_lowers_them():
    recipe = Recipe(vocabulary=400, width=32, layers=2, inner=48, positions=512, steps=30)
    recipe = Recipe(**(vars(recipe) | {"tokens": 512, "warmup": 5}))

    def run():
        tokenizer = build(recipe.vocabulary, recipe.seed, recipe.positions)
        return list(losses(recipe, model_of(recipe, tokenizer), tokenizer))

    first = run()
    assert first == run()
    assert sum(first[-5:]) < 0.9 * sum(first[:5])


def test_writing_the_model_on_the_way_changes_nothing_of_its_training(tmp_path):
    recipe = Recipe(vocabulary=400, width=32, layers=2, inner=48, positions=512, steps=6)
    tokenizer = build(recipe.vocabulary, recipe.seed, recipe.positions)
    trained = []
    for also in (None, 3):
        model = model_of(recipe, tokenizer)
        for step, _ in enumerate(losses(recipe, model, tokenizer), 1):
            if step == also:
                save(model, tokenizer, tmp_path / "before")
        trained.append(model.state_dict())
    for name, values in trained[0].items():
        assert torch.equal(values, trained[1][name]), name
    before = type(model).from_pretrained(tmp_path / "before").state_dict()
    assert any(not torch.equal(values, before[name]) for name, values in trained[0].items())


def test_what_training_saves_loads_without_code_or_pickle(tmp_path, embedded):
    recipe = Recipe(vocabulary=400, width=32, layers=2, inner=48, positions=512)
    tokenizer = build(recipe.vocabulary, recipe.seed, recipe.positions)
    save(model_of(recipe, tokenizer), tokenizer, tmp_path / "new")
    kinds = {file.suffix for file in (tmp_path / "new").iterdir()}
    assert kinds <= {".json", ".jinja", ".safetensors"}
    assert [p.name for p in tmp_path.iterdir()] == ["new"], "scratch was left"
    ours = {f.name for f in demo.path().iterdir()}
    assert ours == {f.name for f in (tmp_path / "new").iterdir()}


def test_a_batch_counts_the_assistants_words_only(embedded):
    tokenizer = embedded.tokenizer
    for ids, is_assistant in islice(batches(tokenizer, 2048, 512, seed=1), 5):
        assert ids.shape == is_assistant.shape
        assert is_assistant.any(-1).all()
        assert not is_assistant[ids == tokenizer.pad_token_id].any()
        assert not is_assistant[:, :4].any()


def test_weights_name_no_machine():
    for file in demo.path().glob("*.json"):
        if file.name != "tokenizer.json":
            assert not re.search(r"/(home|root|tmp|work|Users)/", file.read_text())
            json.loads(file.read_text())
