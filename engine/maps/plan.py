"""Plan from a run's options what it keeps besides the statistics: its `Sweeps`."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from attentropy.engine.arguments import read_choice
from attentropy.engine.attention.probe import MODEL_ERRORS
from attentropy.engine.attention.selfcheck import attention_entries, check_model
from attentropy.engine.errors import AttentropyError
from attentropy.engine.maps.context_sums import ContextSums
from attentropy.engine.maps.hidden_sinks import HiddenSinks
from attentropy.engine.maps.induction import (
    induction_scores,
    ordinary_ids,
    repeated_tokens,
    uniform_induction,
)
from attentropy.engine.maps.sweeps import Sweeps
from attentropy.engine.maps.thumbnails import ThumbnailSums, keeps_thumbnails, thumbnail_side
from attentropy.engine.maps.windows import (
    Tile,
    check_windows,
    default_window,
    map_tile,
    rectangles,
)
from attentropy.engine.model.config import config_facts
from attentropy.engine.model.load import LoadedModel
from attentropy.engine.model.positions import usable_positions

logger = logging.getLogger("attentropy.maps")

MAP_HEADS = ("mean", "all")


def plan_sweeps(
    loaded: LoadedModel,
    tokens: int,
    *,
    tile: Any = "auto",
    map_heads: str = "mean",
    windows: Any = (),
    scores: bool = True,
    thumbnails: bool | None = None,
    context: bool = False,
    kept_heads: Sequence[int] | None = None,
    recorded: Collection[int] | None = None,
    notes: list[str] | None = None,
    answer: bool = False,
    sinks: HiddenSinks | None = None,
) -> tuple[Sweeps, dict[str, Any]]:
    """Plan what a run over `tokens` tokens keeps besides the statistics, and name its options.

    tile and windows: as `windows.map_tile` and `windows.rectangles` take them, whose `UsageError`s
    are raised before anything runs but the model's check. What keys receive is kept along with a
    map, or with the exact window of a short prompt, unless `tile` is "none". `scores` runs the
    model once over `repeated_tokens`; `notes` gets the reason where it does not read them.
    thumbnails: whether the pictures of the `kept_heads` are kept (None for their mean), see
    `thumbnails.keeps_thumbnails`.
    context: whether it is kept how far back the heads attend.
    `recorded`: the layers that are, where it is not all of them. `answer`: whether the tokens of an
    answer may follow, whose scores are kept apart. sinks: hides the sink keys, where what keys
    receive is kept and `scores` too.
    """
    read_choice(map_heads, "map_heads", MAP_HEADS)
    windows = check_windows(windows)
    entries = attention_entries(loaded.model)
    per_entry = check_model(loaded.model).heads
    heads = [
        per_entry.get(entry, 0) if recorded is None or entry[0] in recorded else 0
        for entry in entries
    ]
    layers, largest = sum(count > 0 for count in heads), max(heads)
    sides = map_tile(tile, tokens, layers, largest if map_heads == "all" else 1)
    requested = rectangles(windows, tokens, layers, largest)
    options: dict[str, Any] = {
        "map_tile": None if sides is None else list(sides), "map_heads": map_heads,
        "windows": list(windows), "scores": scores,
    }  # fmt: skip
    pictures = _plan_thumbnails(thumbnails, tokens, heads, kept_heads, sides, tile != "none")
    options |= {"thumbnails": pictures is not None, "context": context}
    induction = None
    if scores:
        ids, induction = _induction(loaded, entries, heads, notes if notes is not None else [])
        if ids:
            options["induction"] = {"tokens": len(ids), "uniform": uniform_induction(ids)}
    sweeps = Sweeps(
        tokens, heads, tile=sides, map_per_head=map_heads == "all", received=tile != "none",
        rectangles=[default_window(tokens, layers, largest), *requested], scores=scores,
        answer=answer,
        induction=induction, sinks=sinks if scores else None, thumbnails=pictures,
        context=ContextSums(heads, tokens) if context else None,
    )  # fmt: skip
    return sweeps, options


def plan_no_sweeps(entries: int, tokens: int) -> tuple[Sweeps, dict[str, Any]]:
    """Plan a run of so many layers that reads no weights; see `plan_sweeps`."""
    sweeps = Sweeps(
        tokens, [0] * entries, tile=None, map_per_head=False, received=False, rectangles=[],
        scores=False, induction=None,
    )  # fmt: skip
    nothing = {"windows": [], "scores": False, "thumbnails": False, "context": False}
    return sweeps, {"map_tile": None, "map_heads": "mean", **nothing}


def _plan_thumbnails(
    value: bool | None,
    tokens: int,
    heads: Sequence[int],
    head_list: Sequence[int] | None,
    tile: Tile | None,
    is_swept: bool,
) -> ThumbnailSums | None:
    """Return what takes the thumbnails of a run; None where it keeps none."""
    count = sum(min(n, 1 if head_list is None else len(head_list)) for n in heads)
    if not keeps_thumbnails(value, tokens, count, is_swept=is_swept):
        return None
    side = thumbnail_side(tokens, None if tile is None else tile[0])
    return ThumbnailSums(tokens, side, heads, head_list)


def _induction(
    loaded: LoadedModel,
    entries: Sequence[tuple[int, int]],
    heads: Sequence[int],
    notes: list[str],
) -> tuple[list[int], np.ndarray]:
    """Return the repeated tokens, and the induction scores [entries, heads] over them.

    The user's prompt may fit a model that does not take these tokens (sparse attention has a
    largest length): then there are none, and the reason is in `notes`.
    """
    facts = config_facts(loaded.model.config)
    first = loaded.tokenizer.bos_token_id
    ordinary = ordinary_ids(loaded.tokenizer, facts["vocabulary"])
    ids = repeated_tokens(ordinary, first=first, positions=usable_positions(loaded.model))
    scores = np.full((len(entries), max(heads)), np.nan, np.float32)
    try:
        by_call = induction_scores(loaded.model, ids)
    except (AttentropyError, *MODEL_ERRORS) as error:
        logger.debug("the repeated tokens cannot be read", exc_info=True)
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        notes.append(f"no induction scores: the text of repeated tokens was not read ({reason})")
        return [], scores
    for entry, values in by_call.items():
        at = entries.index(entry)
        scores[at, : heads[at]] = values[: heads[at]]
    return ids, scores
