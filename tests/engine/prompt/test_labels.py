"""Each token is named by its own letters, whatever a normaliser did to the text before."""

import unicodedata

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

import tiny
from attentropy.engine.maps.induction import ordinary_ids
from attentropy.engine.prompt.encode import has_chat_format
from attentropy.engine.prompt.prepare import prepare
from attentropy.engine.prompt.tokens import dummy_prefixes, token_spans, vocabulary_text

WORDS = "résumé café sum ré é ca fé Đồng phố Việt Nam 한국어 사람 ガギグ "


def byte_level(normalizer, template=None):
    """Return a byte-level tokenizer, as of Qwen, behind a normaliser."""
    raw = Tokenizer(models.BPE())
    raw.normalizer = normalizer
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=500, show_progress=False, special_tokens=["<|start|>", "<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    raw.train_from_iterator([WORDS] * 20, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<|end|>")
    tokenizer.chat_template = template
    return tokenizer


def sentencepiece(*pieces):
    """Return a tokenizer as of Llama 2, which puts ▁ before a text, of bytes and `pieces`."""
    names = ["<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(256)), "▁", *pieces]
    vocabulary = {name: i for i, name in enumerate(names)}
    raw = Tokenizer(
        models.BPE(
            vocab=vocabulary, merges=[], unk_token="<unk>", byte_fallback=True, fuse_unk=True
        )
    )
    raw.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    raw.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
         decoders.Strip(" ", 1, 0)]
    )  # fmt: skip
    return PreTrainedTokenizerFast(
        tokenizer_object=raw, unk_token="<unk>", bos_token="<s>", eos_token="</s>"
    )


@pytest.mark.parametrize("normalizer", [normalizers.NFC(), normalizers.NFKC()], ids=["NFC", "NFKC"])
@pytest.mark.parametrize(
    "text", ["résumé café", "Đồng phố Việt Nam", "한국어 사람", "ガギグ", "e\u0301\u0323x"]
)
def test_skipped_marks_stay_with_the_letter_before_them(normalizer, text):
    tokenizer = byte_level(normalizer)
    for form in ("NFC", "NFD"):
        prompt = prepare(tokenizer, unicodedata.normalize(form, text))
        assert "".join(prompt.tokens) == prompt.text
        composed = prepare(tokenizer, unicodedata.normalize("NFC", text))
        assert prompt.ids == composed.ids
        assert [unicodedata.normalize("NFC", t) for t in prompt.tokens] == composed.tokens


def test_the_end_of_a_turn_keeps_its_name():
    prompt = prepare(byte_level(normalizers.NFC(), tiny.TEMPLATE), "cafe\u0301")
    assert [token for token in prompt.tokens if "end" in token] == ["<|end|>"]
    at = prompt.tokens.index("<|end|>")
    assert unicodedata.normalize("NFC", "".join(prompt.tokens[:at])).endswith("café")
    assert prompt.roles[at - 1 : at + 1] == ["content", "template"]


def test_blanks_that_are_skipped_stay_with_the_token_after_them():
    tokens, spans = token_spans("e\u0301  x", [(0, 1), (4, 5)])
    assert tokens == ["e\u0301", "  x"]
    assert spans == [(0, 3), (3, 6)]


def test_a_group_keeps_its_marks_and_tokens_of_no_width_stand_after_them():
    tokens, spans = token_spans("e\u0301x", [(0, 1), (0, 1), (0, 0), (2, 3)])
    assert tokens == ["e\u0301", "", "", "x"]
    assert spans == [(0, 3), (0, 3), (3, 3), (3, 4)]


@pytest.mark.parametrize("first", ["你", "👩", "\n", "\x00", "é"])
def test_the_dummy_prefix_is_a_token_of_its_own(first):
    prompt = prepare(sentencepiece("好"), f"{first}好 好")
    names = prompt.tokens
    assert names[:2] == [" ", first]
    assert names[-3:] == ["好", " ", "好"]
    assert prompt.roles[0] == "content"
    assert prompt.spans[0] == (0, 0)
    assert prompt.spans[1] == (0, len(first.encode()))


def test_a_blank_that_is_in_the_text_is_no_dummy_prefix():
    assert dummy_prefixes(" ▁x", ["▁", "▁", "x"], [(0, 1), (1, 2), (2, 3)]) == []
    assert dummy_prefixes("你", ["▁", "你"], [(0, 1), (0, 1)]) == [0]


def test_bytes_of_sentencepiece_keep_their_names():
    tokenizer = sentencepiece()
    ids = tokenizer.convert_tokens_to_ids(["<0xE4>", "<0x41>"])
    assert vocabulary_text(tokenizer, ids) == ["<0xE4>", "A"]


class MistralCommonBackend:
    """What mistral_common's tokenizers have of transformers': no `is_fast`, offsets or template."""

    chat_template = None
    bos_token, bos_token_id, eos_token, eos_token_id = "<s>", 1, "</s>", 2
    all_special_ids = (0, 1, 2, 3, 4)
    _special = ("<unk>", "<s>", "</s>", "[INST]", "[/INST]")

    def __len__(self):
        return 261

    def added_tokens_decoder(self):  # a table elsewhere, a method here
        raise NotImplementedError

    def get_vocab(self):
        return {self.convert_ids_to_tokens([i])[0]: i for i in range(len(self))}

    def __call__(self, text, add_special_tokens=True, verbose=True):
        own = [byte + 5 for byte in text.encode()]
        return {"input_ids": [1, *own] if add_special_tokens else own}

    def convert_ids_to_tokens(self, ids):
        return [self.decode([i]) for i in ids]

    def decode(self, ids, skip_special_tokens=False, clean_up_tokenization_spaces=None):
        parts = [self._special[i].encode() if i < 5 else bytes([i - 5]) for i in ids]
        return b"".join(parts).decode("utf-8", "replace")

    def apply_chat_template(
        self, conversation, tokenize=True, return_dict=True, add_generation_prompt=False,
        continue_final_message=False,
    ):  # fmt: skip
        ids = [1]
        for message in conversation:
            words = [byte + 5 for byte in message["content"].encode()]
            ids += words if message["role"] == "assistant" else [3, *words, 4]
        return {"input_ids": ids} if tokenize else self.decode(ids)


def check_tekken(tokenizer):
    """Check a tokenizer with the face of mistral_common's."""
    prompt = prepare(tokenizer, "Größe 你👩 x", chat_template=False)
    assert "".join(prompt.tokens) == "<s>Größe 你👩 x"
    assert prompt.roles == ["bos"] + ["content"] * (len(prompt.ids) - 1)
    assert has_chat_format(tokenizer)
    messages = [{"role": "user", "content": "What is the Größe?"}]
    chat = prepare(tokenizer, messages)
    assert chat.ids == tokenizer.apply_chat_template(messages, tokenize=True)["input_ids"]
    assert chat.tokens[:2] == ["<s>", "[INST]"]
    assert chat.roles[:3] == ["bos", "template", "content"]
    assert chat.tokens[-1] == "[/INST]"
    content = [t for t, role in zip(chat.tokens, chat.roles, strict=True) if role == "content"]
    assert "".join(content) == "What is the Größe?"
    assert chat.notes == []
    assert not {*tokenizer.all_special_ids} & {*ordinary_ids(tokenizer, len(tokenizer))}


def test_a_tokenizer_without_offsets_or_template_runs():
    check_tekken(MistralCommonBackend())


@pytest.mark.costly
def test_a_tekken_tokenizer_runs():
    common = pytest.importorskip("mistral_common", reason="needs mistral_common")
    from pathlib import Path

    from transformers.tokenization_mistral_common import MistralCommonBackend as Backend

    path = Path(common.__file__).parent / "data" / "tekken_240911.json"
    tokenizer = Backend(tokenizer_path=str(path))
    check_tekken(tokenizer)
    ids = tokenizer("👩", add_special_tokens=False)["input_ids"]
    assert vocabulary_text(tokenizer, ids)[0].startswith("<0x")
