"""The fingerprint of a vocabulary changes with any token or id, and is computed once per file."""

import pytest
from transformers import AutoTokenizer

from attentropy.engine.model import vocabulary
from attentropy.engine.model.vocabulary import vocabulary_sha256
from tiny import tokenizer


@pytest.fixture
def folder(tmp_path):
    tokenizer().save_pretrained(tmp_path / "a")
    return tmp_path / "a"


def _counting(monkeypatch):
    count = []
    digest = vocabulary._digest
    monkeypatch.setattr(vocabulary, "_digest", lambda one: count.append(1) or digest(one))
    return count


def test_a_file_is_hashed_once_until_it_changes(folder, monkeypatch):
    count = _counting(monkeypatch)
    first = vocabulary_sha256(AutoTokenizer.from_pretrained(folder))
    assert vocabulary_sha256(AutoTokenizer.from_pretrained(folder)) == first
    assert len(count) == 1
    other = AutoTokenizer.from_pretrained(folder)
    other.add_tokens(["<new>"])
    assert vocabulary_sha256(other) != first
    other.save_pretrained(folder)
    assert vocabulary_sha256(AutoTokenizer.from_pretrained(folder)) != first
    assert len(count) == 3


def test_a_tokenizer_without_a_file_is_hashed_each_time(monkeypatch):
    count = _counting(monkeypatch)
    one, other = tokenizer(), tokenizer()
    assert vocabulary_sha256(one) == vocabulary_sha256(other)
    other.add_tokens(["<new>"])
    assert vocabulary_sha256(one) != vocabulary_sha256(other)
    assert len(count) == 4


def test_ids_that_are_exchanged_change_the_hash(monkeypatch):
    class Words:
        def __init__(self, words):
            self.words = words

        def get_vocab(self):
            return self.words

    hashes = {
        vocabulary_sha256(Words(words))
        for words in ({"a": 0, "b": 1}, {"a": 1, "b": 0}, {"a": 0, "b": 2}, {"ab": 0}, {"a\0b": 0})
    }
    assert len(hashes) == 5
