"""A transformer of two layers whose weights are set by hand, so that it is known what it reads.

Layer 0 reads a key from the question (`key`), or carries a fact to another token. Layer 1 looks the
key up among the facts and writes what it finds as the answer. A row that looks for nothing attends
to the first token, which has nothing to give: a sink.
"""

from __future__ import annotations

import torch
from transformers import LlamaConfig, LlamaForCausalLM

KEYS = 7
QUESTION = 7  # what the answer's rows look for in layer 0
_PARTS = ("query", "advertised", "sought", "shown", "key", "value", "carried", "output")
_AT = {part: 8 * i for i, part in enumerate(_PARTS)}
_FIRST, _ONE, _FILLER, _WIDTH = 64, 65, 66, 72
_NORM = 4.0  # of each embedding
_HEAD = 32
_DIM = 2  # the first of a head's dimensions that hardly rotate
_SCALE = (_WIDTH**0.5) / _NORM
_MATCH, _SINK, _LOGIT = 25.0, 12.0, 8.0


class Words:
    """The vocabulary: each word with what its embedding says, by part."""

    def __init__(self) -> None:
        self.ids: dict[str, int] = {}
        self.parts: list[dict[str, int]] = []

    def add(self, word: str, **parts: int) -> str:
        """Add a word, such as a fact: advertised=3, value=5."""
        self.ids[word] = len(self.parts)
        self.parts.append(parts)
        return word


def vocabulary() -> Words:
    """Return the words: `<s>`, `<a>` and `is` look for the question; `keyN` is asked.

    `factNV` advertises key N with value V; `deepNV` shows it in layer 0 only, to `copyN`, which
    carries it. `blindN` advertises N and has no value. `valueV` is an answer, `fillN` says nothing.
    """
    words = Words()
    words.add("<s>")
    words.add("<a>", sought=QUESTION)
    words.add("is", sought=QUESTION)
    for key in range(3):
        words.add(f"key{key}", shown=QUESTION, key=key)
        words.add(f"copy{key}", sought=key, advertised=key)
        words.add(f"blind{key}", advertised=key)
        for value in range(3):
            words.add(f"fact{key}{value}", advertised=key, value=value)
            words.add(f"deep{key}{value}", shown=key, value=value)
    for value in range(3):
        words.add(f"value{value}")
    for i in range(12):
        words.add(f"fill{i}")
    return words


def model(words: Words) -> LlamaForCausalLM:
    """Return the model in float64."""
    config = LlamaConfig(
        vocab_size=len(words.parts), hidden_size=_WIDTH, intermediate_size=8, num_hidden_layers=2,
        num_attention_heads=1, num_key_value_heads=1, head_dim=_HEAD, rope_theta=1e30,
        max_position_embeddings=512, tie_word_embeddings=False, rms_norm_eps=0.0,
        bos_token_id=0, eos_token_id=None, pad_token_id=None,
    )  # fmt: skip
    own = LlamaForCausalLM(config).double().eval()
    with torch.no_grad():
        for parameter in own.parameters():
            if parameter.ndim == 2:
                parameter.zero_()
        for i, parts in enumerate(words.parts):
            row = own.model.embed_tokens.weight[i]
            for part, value in parts.items():
                row[_AT[part] + value] = 1.0
            row[_FIRST if i == 0 else _ONE] = 1.0
            row[_FILLER] = (_NORM**2 - row.square().sum()).sqrt()
        first, second = own.model.layers
        _look(first.self_attn, "sought", "shown")
        _give(first.self_attn, {"key": "query", "value": "carried"})
        _look(second.self_attn, "query", "advertised")
        _give(second.self_attn, {"value": "output", "carried": "output"})
        for value in range(3):
            at = words.ids[f"value{value}"]
            own.lm_head.weight[at, _AT["output"] + value] = _LOGIT / _SCALE
    return own


def _look(attention: torch.nn.Module, query: str, key: str) -> None:
    """Let rows attend to the keys whose part `key` is their part `query`, else to the first."""
    gain = (_MATCH * _HEAD**0.5) ** 0.5 / _SCALE
    sink = (_SINK * _HEAD**0.5) ** 0.5 / _SCALE
    for i in range(8):
        attention.q_proj.weight[_DIM + i, _AT[query] + i] = gain
        attention.k_proj.weight[_DIM + i, _AT[key] + i] = gain
    attention.q_proj.weight[_DIM + 8, _ONE] = sink
    attention.k_proj.weight[_DIM + 8, _FIRST] = sink


def _give(attention: torch.nn.Module, moves: dict[str, str]) -> None:
    """Let a layer move parts of the attended tokens to parts of the row."""
    for n, (source, target) in enumerate(moves.items()):
        for i in range(8):
            attention.v_proj.weight[8 * n + i, _AT[source] + i] = 1 / _SCALE
            attention.o_proj.weight[_AT[target] + i, 8 * n + i] = 1.0
