"""The tokenizer: byte-level BPE with whole words for names, and Llama-3's chat template."""

from __future__ import annotations

import json
import random

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from attentropy.engine.demo.facts import COUNTRIES, UNKNOWN
from attentropy.engine.demo.questions import conversation

BOS, EOT, PAD = "<|begin_of_text|>", "<|eot_id|>", "<|pad|>"
SPECIAL = (BOS, EOT, "<|start_header_id|>", "<|end_header_id|>", PAD)
ROLES = ("system", "user", "assistant")

# As Llama-3 splits text: contractions, words with one leading mark, numbers, marks, line ends,
# spaces.
WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

CHAT_TEMPLATE = """\
{{- bos_token }}
{%- for message in messages %}
    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' }}
    {{- message['content'] | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
"""


def names() -> list[str]:
    """Return the words of the table's names as conversations have them, each once.

    A name begins an answer or a question; those of countries and cities follow a blank too.
    """
    texts = [UNKNOWN, "Yes", "No"]
    for country in COUNTRIES:
        places = (country.answer, *country.cities)
        texts += [*places, *(f" {place}" for place in places)]
        facts = (country.continent, country.language, country.currency)
        texts += [fact for fact in facts if fact]
    return list(dict.fromkeys(word for text in texts for word in words(text)))


def words(text: str) -> list[str]:
    """Return the pieces of `text` that merges never join."""
    split = pre_tokenizers.Split(Regex(WORDS), behavior="isolated")
    return [word for word, _ in split.pre_tokenize_str(text)]


def corpus(seed: int, conversations: int = 6000) -> list[str]:
    """Return the words that the merges are learned from: headers and questions without `names`."""
    rng = random.Random(seed)
    whole = set(names())
    texts = []
    for _ in range(conversations):
        for message in conversation(rng, turns=1):
            if message["role"] != "assistant":
                texts.append(f"{message['role']}\n\n{message['content']}")
        texts.append("assistant\n\n")
    return [word for text in texts for word in words(text) if word not in whole]


def build(vocabulary: int, seed: int, positions: int) -> PreTrainedTokenizerFast:
    """Return a tokenizer of `vocabulary` tokens by merges, and the table's names as whole words.

    As in Llama-3's, a word that is a token is not built by merges. The 256 bytes encode what the
    questions lack.
    """
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    bpe.train_from_iterator(corpus(seed), trainer)
    bpe = with_whole_words(bpe, names())
    bpe.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(
                single=f"{BOS} $A", special_tokens=[(BOS, bpe.token_to_id(BOS))]
            ),
        ]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token=BOS,
        eos_token=EOT,
        pad_token=PAD,
        additional_special_tokens=list(SPECIAL[2:4]),
        model_max_length=positions,
        clean_up_tokenization_spaces=False,
        chat_template=CHAT_TEMPLATE,
    )


def with_whole_words(bpe: Tokenizer, whole: list[str]) -> Tokenizer:
    """Return the tokenizer with each of these words as a token; the ids of the others stay."""
    state = json.loads(bpe.to_str())
    state["model"]["ignore_merges"] = True
    vocabulary = state["model"]["vocab"]
    for word in whole:
        [(letters, _)] = bpe.pre_tokenizer.pre_tokenize_str(word)
        vocabulary.setdefault(letters, len(vocabulary))
    return Tokenizer.from_str(json.dumps(state))
