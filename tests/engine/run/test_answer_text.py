"""The text of an answer is its tokens decoded together, without what is not text."""

from types import SimpleNamespace

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers
from transformers import PreTrainedTokenizerFast

from attentropy.engine.run.answer import answer_facts
from attentropy.engine.run.extract import extract
from tiny import model, tokenizer

END = 257  # of tiny's tokenizer; its other tokens are the bytes


def _loaded(own, end):
    config = SimpleNamespace(eos_token_id=end)
    return SimpleNamespace(
        tokenizer=own, model=SimpleNamespace(config=config, generation_config=None)
    )


def _bytes(text):
    return tokenizer()(text, add_special_tokens=False)["input_ids"]


def _facts(ids, own=None, end=END, parts=None):
    parts = parts or ["content"] * len(ids)
    return answer_facts(_loaded(own or tokenizer(), end), ids, parts)


@pytest.fixture(scope="module")
def sentencepiece():
    """Return a tokenizer as of Gemma: ▁ for a space, and bytes for unknown characters."""
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{b:02X}>" for b in range(256)), "▁The", "▁cap"]
    pieces += ["ital", ".", "北", "京", "▁"]
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    raw = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>", byte_fallback=True))
    raw.normalizer = normalizers.Replace(" ", "▁")
    raw.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    own = PreTrainedTokenizerFast(
        tokenizer_object=raw, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
    return own, vocabulary


@pytest.mark.parametrize(
    "text", ["17 + 25 = 42.", "The capital is Canberra.", "北京。", "👩‍👩‍👧 é", "بغداد"]
)
def test_an_answer_is_decoded_whole_whatever_its_tokens(text):
    ids = _bytes(text)
    assert _facts([*ids, END]) == {"answer": text, "answer_is_cut": False}
    assert _facts(ids) == {"answer": text, "answer_is_cut": True}


@pytest.mark.parametrize("own", [1, 2, 3])
def test_a_character_that_the_limit_cuts_is_left_out(own):
    ids = _bytes("Hi 😀")[: 3 + own]
    assert _facts(ids) == {"answer": "Hi", "answer_is_cut": True}
    ended = _facts([*ids, END])  # here the model wrote a part of a character
    assert ended["answer"].startswith("Hi �")
    assert not ended["answer_is_cut"]


def test_sentencepiece_tokens_are_joined_with_their_blanks(sentencepiece):
    own, vocabulary = sentencepiece
    pieces = ["▁The", "▁cap", "ital", "▁", "北", "京", "<0xF0>", "<0x9F>", "<0x98>", "<0x80>", "."]
    ids = [vocabulary[piece] for piece in pieces]
    facts = _facts([*ids, vocabulary["</s>"]], own, vocabulary["</s>"])
    assert facts == {"answer": "The capital 北京😀.", "answer_is_cut": False}
    cut = _facts(ids[:8], own, vocabulary["</s>"])
    assert cut == {"answer": "The capital 北京", "answer_is_cut": True}


def test_special_tokens_and_what_follows_the_end_are_left_out():
    start = tokenizer().convert_tokens_to_ids("<|start|>")
    assert _facts([*_bytes("No"), start, *_bytes("!"), END, *_bytes("x")])["answer"] == "No!"


def test_reasoning_and_answer_are_decoded_apart():
    ids = [*_bytes("é?"), *_bytes("Ja é"), END]
    parts = ["reasoning"] * 3 + ["content"] * 5 + ["marker"]
    wanted = {"answer": "Ja é", "reasoning": "é?", "answer_is_cut": False}
    assert _facts(ids, parts=parts) == wanted


def test_a_trace_says_whether_the_limit_ended_its_answer(tmp_path):
    subject, own = model(), tokenizer(None)
    rest = {"tokenizer": own, "lens": "none", "scores": False, "map_tile": "none"}
    trace = extract(subject, "ab", max_new_tokens=3, output=tmp_path / "t.zarr.zip", **rest)
    ended = int(trace["generated_ids"][-1]) == END
    assert trace.attrs["answer_is_cut"] is (not ended)
    assert "answer_is_cut" not in extract(subject, "ab", max_new_tokens=0, **rest).attrs
