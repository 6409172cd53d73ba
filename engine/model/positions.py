"""The longest text that a model can read: its configuration's number, as far as it is usable."""

from __future__ import annotations

from typing import Any

from torch import nn
from transformers import PreTrainedModel

from attentropy.engine.model.config import config_facts
from attentropy.engine.model.inner import text_model

# Last parts of the names of tables with one row per position of a token.
_TABLES = {
    "embed_positions",
    "pos_embed",
    "position_embedding",
    "position_embeddings",
    "positions_embed",
    "wpe",
}


def usable_positions(model: PreTrainedModel) -> int | None:
    """Return how many tokens `model` can read, None where nothing bounds them.

    A learned table bounds them whatever the configuration says, and its first rows may be kept for
    padding and what is before it: RoBERTa's 514 positions are 512.
    """
    bounds = [config_facts(model.config)["positions"]]
    for name, module in text_model(model).named_modules():
        if isinstance(module, nn.Embedding) and name.rpartition(".")[2] in _TABLES:
            bounds.append(_usable_rows(module))
    return min((bound for bound in bounds if isinstance(bound, int)), default=None)


def _usable_rows(table: Any) -> int:
    padding, offset = table.padding_idx, getattr(table, "offset", 0)
    reserved = padding + 1 if padding is not None else offset
    return int(table.num_embeddings) - reserved
