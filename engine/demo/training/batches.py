"""Training batches: conversations as token ids, the assistant's tokens marked for the loss."""

from __future__ import annotations

import random
from collections.abc import Iterator

import torch
from transformers import PreTrainedTokenizerBase

from attentropy.engine.demo.questions import Message, conversation

# Ids, and 1 for each id that the assistant says.
Encoded = tuple[list[int], list[int]]


class Encoder:
    """Turns conversations into ids, and marks what the assistant says, with its `<|eot_id|>`."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokenizer = tokenizer
        ids = tokenizer.convert_tokens_to_ids
        self.bos, self.eot = tokenizer.bos_token_id, tokenizer.eos_token_id
        self.start, self.end = ids("<|start_header_id|>"), ids("<|end_header_id|>")
        self.cache: dict[str, list[int]] = {}

    def text(self, text: str) -> list[int]:
        """Return the ids of plain text; short pieces occur again and again, so they are cached."""
        if text not in self.cache:
            self.cache[text] = self.tokenizer.encode(text, add_special_tokens=False)
        return self.cache[text]

    def __call__(self, messages: list[Message]) -> Encoded:
        """Return the ids that the chat template gives, and which of them the assistant says."""
        ids, spoken = [self.bos], [0]
        for message in messages:
            header = [self.start, *self.text(message["role"]), self.end, *self.text("\n\n")]
            words = [*self.text(message["content"]), self.eot]
            ids += header + words
            spoken += [0] * len(header) + [int(message["role"] == "assistant")] * len(words)
        return ids, spoken


def pad(encoded: list[Encoded], padding: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ids and the marks of spoken tokens, [B, N], padded on the right.

    The model is causal, so that padding on the right needs no mask.
    """
    longest = max(len(ids) for ids, _ in encoded)
    ids = torch.full((len(encoded), longest), padding)
    spoken = torch.zeros((len(encoded), longest), dtype=torch.bool)
    for row, (numbers, marks) in enumerate(encoded):
        ids[row, : len(numbers)] = torch.tensor(numbers)
        spoken[row, : len(marks)] = torch.tensor(marks, dtype=torch.bool)
    return ids, spoken


def batches(
    tokenizer: PreTrainedTokenizerBase, tokens: int, longest: int, seed: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield endless batches of about `tokens` tokens: questions, dialogues, a few long chats."""
    rng = random.Random(seed)
    encode = Encoder(tokenizer)
    while True:
        pool = [encode(conversation(rng, turns=1)) for _ in range(1024)]
        pool += [encode(conversation(rng, turns=rng.randint(2, 6))) for _ in range(64)]
        pool.sort(key=lambda one: len(one[0]))
        ready: list[list[Encoded]] = []
        group: list[Encoded] = []
        for one in pool:
            if group and len(one[0]) * (len(group) + 1) > tokens:
                ready.append(group)
                group = []
            group.append(one)
        ready.append(group)
        ids, spoken = encode(conversation(rng, turns=rng.randint(20, longest // 19)))
        ready.append([(ids[:longest], spoken[:longest])])
        rng.shuffle(ready)
        for group in ready:
            yield pad(group, tokenizer.pad_token_id)
