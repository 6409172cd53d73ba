"""The tokenizer: byte-level BPE trained on the questions, with Llama-3's chat template."""

from __future__ import annotations

import random

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from attentropy.engine.demo.facts import COUNTRIES
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


def corpus(seed: int, conversations: int = 6000) -> list[str]:
    """Return the texts that the merges are learned from: headers, questions, the table's names."""
    rng = random.Random(seed)
    lines = []
    for _ in range(conversations):
        for message in conversation(rng, turns=1):
            if message["role"] != "assistant":
                lines.append(f"{message['role']}\n\n{message['content']}")
        lines.append("assistant\n\n")
    for country in COUNTRIES:
        lines += [f" {country.answer}"] * 12
        names = (*country.cities, country.answer, country.language)
        lines += [name for name in names if name] * 6
    return lines


def build(vocabulary: int, seed: int, positions: int) -> PreTrainedTokenizerFast:
    """Return a tokenizer of `vocabulary` tokens; its 256 bytes encode what the questions lack."""
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
