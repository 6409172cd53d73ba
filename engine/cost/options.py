"""The options that decide what is recorded, and so what a run takes; checked when they are made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from attentropy.engine.arguments import (
    read_choice,
    read_count,
    read_selection,
    read_tile,
)
from attentropy.engine.attention.plan import read_stats
from attentropy.engine.lens.budget import read_sites
from attentropy.engine.maps.plan import MAP_HEADS
from attentropy.engine.maps.windows import check_windows
from attentropy.engine.trace.statistics import KEPT_STATS, TOKEN_LOGPROB
from attentropy.engine.translator.file import read_with

STORAGES = ("float32", "float16")


@dataclass(frozen=True)
class CostOptions:
    """The options of `extract` that decide what a run takes, as `extract` takes them.

    An instance holds each in one form, whatever the caller gave: `stats` (the entropy first) and
    `lens` (sites in the order in which they are read) as tuples, selections as texts, None for all.
    `lens_translator` is a translator, read and checked.
    `stats` has those of attention, and `token_logprob` whether the text's tokens are read, too.
    Raises `UsageError` for one that cannot work, whatever the model and the prompt.
    """

    stats: Any = KEPT_STATS
    layers: Any = None
    heads: Any = "all"
    lens: Any = "residual"
    lens_layers: Any = None
    lens_positions: Any = None
    lens_translator: Any = None
    map_tile: Any = "auto"
    map_heads: str = "mean"
    windows: Any = ()
    scores: bool = True
    thumbnails: bool | None = None
    context: bool = False
    reference: bool = True
    max_new_tokens: int = 32
    chunk: Any = None
    storage: str = "float32"
    test_sources: Any = None
    token_logprob: bool = field(init=False, default=True)

    def __post_init__(self) -> None:
        for name, value in self._read().items():
            object.__setattr__(self, name, value)

    def _read(self) -> dict[str, Any]:
        """Return the options that have several forms, each in the one that the engine reads."""
        stats = read_stats(self.stats, KEPT_STATS, others=(TOKEN_LOGPROB,), may_be_none=True)
        sites = read_sites(self.lens)
        return {
            "stats": tuple(name for name in stats if name != TOKEN_LOGPROB),
            "token_logprob": TOKEN_LOGPROB in stats,
            "layers": read_selection(self.layers, "layers"),
            "heads": read_selection(self.heads, "heads", ("all", "mean")) or "all",
            "lens": sites,
            "lens_layers": read_selection(self.lens_layers, "lens_layers"),
            "lens_positions": read_selection(
                self.lens_positions, "lens_positions", ("all", "template")
            ),
            "lens_translator": read_with(self.lens_translator, sites),
            "map_tile": read_tile(self.map_tile),
            "map_heads": read_choice(self.map_heads, "map_heads", MAP_HEADS),
            "windows": check_windows(self.windows),
            "max_new_tokens": read_count(self.max_new_tokens, "max_new_tokens", least=0),
            "chunk": None if self.chunk is None else read_count(self.chunk, "chunk"),
            "storage": read_choice(self.storage, "storage", STORAGES),
        }
