"""A run's options made into its `Sweeps`: what is kept beside the statistics."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from attentropy.engine.attention.selfcheck import attention_entries, checked
from attentropy.engine.errors import UsageError
from attentropy.engine.maps.induction import (
    induction_scores,
    ordinary_ids,
    repeated_tokens,
    uniform_induction,
)
from attentropy.engine.maps.sweeps import Sweeps
from attentropy.engine.maps.windows import (
    automatic,
    check_tile,
    check_windows,
    map_tile,
    rectangles,
)
from attentropy.engine.model.config import config_facts
from attentropy.engine.model.load import LoadedModel

MAP_HEADS = ("mean", "all")


def check_options(tile: str, map_heads: str, windows: Sequence[str]) -> None:
    """Raise `UsageError` for what `sweeps_for` could not read, before a model is loaded."""
    check_tile(tile)
    check_windows(windows)
    if map_heads not in MAP_HEADS:
        raise UsageError(f"map_heads={map_heads!r} is neither {' nor '.join(MAP_HEADS)}")


def sweeps_for(
    loaded: LoadedModel,
    tokens: int,
    *,
    tile: str = "auto",
    map_heads: str = "mean",
    windows: Sequence[str] = (),
    scores: bool = True,
    recorded: Collection[int] | None = None,
) -> tuple[Sweeps, dict[str, Any]]:
    """What follows a run over `tokens` tokens, in all layers or those `recorded`, and the options
    that it came to.

    Windows and tile as in `windows.rectangles` and `windows.map_tile`, whose `UsageError`s are
    raised before anything runs but the model's check. What keys receive is kept along with a map,
    or with the exact window of a short prompt, unless `tile` is "none". `scores` runs the model
    once over `repeated_tokens`. `recorded`: the layers that are, where it is not all of them.
    """
    check_options(tile, map_heads, windows)
    model, entries = loaded.model, attention_entries(loaded.model)
    per_entry = checked(model).heads
    heads = [
        per_entry.get(entry, 0) if recorded is None or entry[0] in recorded else 0
        for entry in entries
    ]
    layers, most = sum(count > 0 for count in heads), max(heads)
    sides = map_tile(tile, tokens, layers, most if map_heads == "all" else 1)
    asked = rectangles(windows, tokens, layers, most)
    options: dict[str, Any] = {
        "map_tile": None if sides is None else list(sides), "map_heads": map_heads,
        "windows": list(windows), "scores": scores,
    }  # fmt: skip
    induction = None
    if scores:
        facts = config_facts(model.config)
        first = loaded.tokenizer.bos_token_id
        ordinary = ordinary_ids(loaded.tokenizer, facts["vocabulary"])
        ids = repeated_tokens(ordinary, first=first, positions=facts["positions"])
        induction = np.full((len(entries), most), np.nan, np.float32)
        for entry, values in induction_scores(model, ids).items():
            at = entries.index(entry)
            induction[at, : heads[at]] = values[: heads[at]]
        if ids:
            options["induction"] = {"tokens": len(ids), "uniform": uniform_induction(ids)}
    sweeps = Sweeps(
        tokens, heads, tile=sides, map_per_head=map_heads == "all", received=tile != "none",
        rectangles=[automatic(tokens, layers, most), *asked], scores=scores, induction=induction,
    )  # fmt: skip
    return sweeps, options
