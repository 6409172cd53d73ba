"""The tokens of every kind of tokenizer are readable and cover the text without gaps."""

import random
import re

import pytest
from tokenizers import (
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizer, PreTrainedTokenizerFast

from attentropy.engine.prompt.prepare import prepare
from attentropy.engine.prompt.tokens import (
    align_pieces,
    decoded_pieces,
    token_spans,
    vocabulary_text,
)

CORPUS = [
    "The capital of Australia is Canberra, not Sydney.",
    "hello world, hello tokens: the the the of of of 123 456",
    "日本語のテキスト 日本 日本 naïve café Größe",
    "    indented\n\tcode(x) == y  # done",
]
TEXTS = [
    "hello world",
    " leading and  double   blanks \n",
    "naïve café — Größe, 日本語!",
    "a😀b 👩‍👩‍👧 🇫🇮x",
    "tab\tnew\n\nline ﬁ Ⅳ é",
    "العاصمة מהי",
    "▁under_score ## <0x41> \u00a0end",
]
GPT4 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def _wrapped(raw, **special):
    return PreTrainedTokenizerFast(tokenizer_object=raw, **special)


def byte_level(trim=False):
    """Return a byte-level tokenizer, as of GPT-2."""
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    raw.post_processor = processors.ByteLevel(trim_offsets=trim)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=330, initial_alphabet=alphabet, show_progress=False)
    raw.train_from_iterator(CORPUS, trainer)
    return _wrapped(raw)


def tiktoken():
    """Return a tokenizer as of GPT-4 and Llama 3: a pattern splits the text, then bytes merge."""
    raw = Tokenizer(models.BPE(ignore_merges=True))
    raw.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(GPT4), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    raw.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=330, initial_alphabet=alphabet, show_progress=False)
    raw.train_from_iterator(CORPUS, trainer)
    return _wrapped(raw)


def _sentencepiece_vocabulary():
    letters = sorted(set("".join(CORPUS).replace(" ", "▁")) - {"語"})
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{b:02X}>" for b in range(256)), *letters, "▁", "he"]
    return {piece: i for i, piece in enumerate(dict.fromkeys([*pieces, "▁h", "▁he"]))}


def llama():
    """Return a tokenizer as of Llama 2 and Gemma.

    A normaliser turns spaces into ▁, and unknown characters become bytes.
    """
    raw = Tokenizer(
        models.BPE(
            vocab=_sentencepiece_vocabulary(),
            merges=[("h", "e"), ("▁", "h"), ("▁", "he")],
            unk_token="<unk>",
            byte_fallback=True,
            fuse_unk=True,
        )
    )
    raw.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    raw.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return _wrapped(raw, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def metaspace():
    """Return a tokenizer as of T5: a unigram model over ▁, with <unk> for unknown text."""
    raw = Tokenizer(models.Unigram())
    raw.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    raw.pre_tokenizer = pre_tokenizers.Metaspace()
    raw.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=120, special_tokens=["<unk>"], unk_token="<unk>", show_progress=False
    )
    raw.train_from_iterator(CORPUS, trainer)
    return _wrapped(raw, unk_token="<unk>")


def wordpiece():
    """Return a tokenizer as of BERT: no spaces, no accents, and ## continues a word."""
    raw = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    raw.normalizer = normalizers.BertNormalizer(lowercase=True)
    raw.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    raw.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=90, special_tokens=["[UNK]", "[CLS]", "[SEP]"], show_progress=False
    )
    raw.train_from_iterator(CORPUS, trainer)
    cls, sep = raw.token_to_id("[CLS]"), raw.token_to_id("[SEP]")
    raw.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", cls), ("[SEP]", sep)]
    )
    return _wrapped(raw, unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]")


class Slow(PreTrainedTokenizer):
    """A tokenizer in Python without offsets: words and spaces, with <unk> for unknown words."""

    def __init__(self, words=(), **options):
        self.words = {"<unk>": 0, "<s>": 1, **{word: i + 2 for i, word in enumerate(words)}}
        super().__init__(unk_token="<unk>", bos_token="<s>", **options)

    @property
    def vocab_size(self):
        return len(self.words)

    def get_vocab(self):
        return dict(self.words)

    def _tokenize(self, text):
        return [word for word in re.split(r"(\W)", text) if word]

    def _convert_token_to_id(self, token):
        return self.words.get(token, 0)

    def _convert_id_to_token(self, index):
        return list(self.words)[index]

    def convert_tokens_to_string(self, tokens):
        return "".join(tokens)

    def build_inputs_with_special_tokens(self, ids, other=None):
        return [1, *ids]


KINDS = {
    "byte-level": byte_level,
    "byte-level, trimmed": lambda: byte_level(trim=True),
    "tiktoken": tiktoken,
    "llama": llama,
    "metaspace": metaspace,
    "wordpiece": wordpiece,
}


@pytest.fixture(scope="module", params=KINDS)
def fast(request):
    """Return a tokenizer of each kind."""
    return KINDS[request.param]()


def _tiles(prompt):
    """Assert that the spans cover each byte once and in order; a group may share a span."""
    raw = prompt.text.encode()
    at = 0
    for token, (start, stop) in zip(prompt.tokens, prompt.spans, strict=True):
        assert start <= at <= max(stop, at)
        if stop > at:
            assert raw[at:stop].decode() == token
            at = stop
        elif start < stop:
            assert token == ""  # the rest of a group
    assert at == len(raw)


@pytest.mark.parametrize("text", TEXTS)
def test_tokens_tile_the_text_and_spell_it(fast, text):
    prompt = prepare(fast, text)
    assert prompt.text == text
    _tiles(prompt)
    own = [t for t, (a, b) in zip(prompt.tokens, prompt.spans, strict=True) if a < b]
    assert "".join(own) == text
    assert prompt.notes == []


def test_tokens_tile_random_text(fast):
    draw = random.Random(0)
    letters = "ab hé 日😀\n\t\u0301\u200d▁#<>Ⅳ\x00\x1b"
    for _ in range(60):
        text = "x" + "".join(draw.choices(letters, k=draw.randint(1, 40)))
        _tiles(prepare(fast, text))


def test_words_read_as_people_write_them(fast):
    prompt = prepare(fast, "hello the the of")
    tokens = [t for t, (a, b) in zip(prompt.tokens, prompt.spans, strict=True) if a < b]
    assert "".join(tokens) == "hello the the of"
    assert not any(mark in token for token in tokens for mark in "▁Ġ#")


def test_what_wordpiece_adds_has_a_role_and_no_place():
    prompt = prepare(wordpiece(), "hello")
    assert (prompt.tokens[0], prompt.tokens[-1]) == ("[CLS]", "[SEP]")
    assert (prompt.roles[0], prompt.roles[-1]) == ("bos", "eos")
    assert prompt.spans[-1] == (5, 5)


@pytest.mark.parametrize("kind", ["byte-level", "tiktoken", "llama"])
def test_an_emoji_of_several_tokens_is_whole_in_the_first(kind):
    prompt = prepare(KINDS[kind](), "a😀b")
    at = prompt.tokens.index("😀")
    assert prompt.tokens[at:] == ["😀", "", "", "", "b"]
    assert prompt.spans[at : at + 4] == [(1, 5)] * 4


@pytest.mark.parametrize("text", TEXTS)
def test_ids_decode_to_pieces_that_make_up_the_text(fast, text):
    ids = fast(text, add_special_tokens=False)["input_ids"]
    pieces = decoded_pieces(fast, ids)
    joined = "".join(piece or "" for piece in pieces)
    assert joined == fast.decode(ids, clean_up_tokenization_spaces=False)
    _tiles(prepare(fast, ids))


@pytest.mark.parametrize("text", TEXTS)
def test_without_offsets_tokens_are_found_by_their_text(text):
    subject = tiktoken()
    encoded = subject(text, return_offsets_mapping=True)
    offsets, missing = align_pieces(text, decoded_pieces(subject, encoded["input_ids"]))
    assert missing == 0
    assert token_spans(text, offsets)[0] == token_spans(text, encoded["offset_mapping"])[0]


def test_a_slow_tokenizer_has_places_and_roles():
    subject = Slow(["hello", " ", "world", "[", "]"])
    assert not subject.is_fast
    prompt = prepare(subject, "hello world")
    assert prompt.tokens == ["<s>", "hello", " ", "world"]
    assert prompt.roles == ["bos", "content", "content", "content"]
    assert prompt.spans == [(0, 0), (0, 5), (5, 6), (6, 11)]
    subject.chat_template = "[{{ messages[0].content }}]"
    prompt = prepare(subject, "hello world")
    assert prompt.roles == ["template", "content", "content", "content", "template"]
    assert "does not start with <s>" in prompt.notes[0]


def test_what_a_slow_tokenizer_loses_is_said():
    prompt = prepare(Slow(["hello", " ", "world"]), "hello big world")
    assert prompt.tokens == ["<s>", "hello", " ", "big", " ", "world"]
    assert "1 of 6 tokens could not be found" in prompt.notes[0]
    _tiles(prompt)


def test_the_vocabulary_reads_alone(fast):
    names = vocabulary_text(fast, range(len(fast)))
    assert all(names)
    assert "he" in names or "h" in names
