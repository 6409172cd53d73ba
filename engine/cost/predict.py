"""What a run would take, said before anything runs: memory, time, and the trace on a disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from attentropy.engine.attention.statistics import KEPT_STATS
from attentropy.engine.cost import memory as cost
from attentropy.engine.cost.disk import on_disk
from attentropy.engine.cost.memory import chunk_tokens
from attentropy.engine.cost.size import ModelSize, RecordingSize, RunSize, model_size
from attentropy.engine.cost.speed import duration, rates
from attentropy.engine.errors import UsageError
from attentropy.engine.lens.budget import check_sites
from attentropy.engine.maps.windows import automatic, map_tile, rectangles
from attentropy.engine.model.devices import available
from attentropy.engine.selection import check_selection, select
from attentropy.kernels.ops import STATS

_TEMPLATE = 32  # positions of a chat's template, whose number only the prompt would say


@dataclass(frozen=True)
class Options:
    """Those of `extract` that decide what a run takes, as it is given them."""

    stats: Sequence[str] = KEPT_STATS
    layers: str | None = None
    heads: str = "all"
    sites: Sequence[str] = ("residual",)
    lens_layers: str | None = None
    lens_positions: str | None = None
    map_tile: str = "auto"
    map_heads: str = "mean"
    windows: Sequence[str] = ()
    scores: bool = True
    chunk: int | None = None
    storage: str = "float32"


def predicted(
    config: Any, tokens: int, options: Options, where: torch.device, dtype: torch.dtype
) -> dict[str, Any]:
    """Bytes as "memory" and "disk", "seconds", and the "run" that they are of, on `where`.

    Raises `UsageError` for options that `extract` would refuse.
    """
    size = model_size(config)
    run = planned(size, tokens, options, where, dtype)
    needed, here = cost.memory(size, run), available(where)
    others = {
        o: cost.memory(size, r)["peak_bytes"] for o, r in cost.alternatives(size, run).items()
    }
    facts: dict[str, Any] = {"device": where.type, "dtype": str(dtype).removeprefix("torch.")}
    facts |= needed | {"available_bytes": here}
    if here is not None and needed["peak_bytes"] > here:
        fitting = [option for option, peak in others.items() if peak <= here]
        elsewhere = "another device, or --device auto" if where.type == "cpu" else "--device cpu"
        facts["too_much"] = f"it fits with {fitting[0] if fitting else elsewhere}"
    took = duration(size, run, rates(size, run, where, dtype))
    return {
        "run": {
            "chunk": run.chunk,
            "lens_positions": run.positions,
            "map_tile": list(run.kept.tile) if run.kept.tile else None,
        },
        "memory": facts | {"peak_with_option_bytes": others},
        "disk": on_disk(size, run),
        "seconds": {stage: round(value, 3) for stage, value in took.items()},
    }


def planned(
    size: ModelSize, tokens: int, options: Options, where: torch.device, dtype: torch.dtype
) -> RunSize:
    """The run that `extract` would make of a prompt of `tokens` tokens."""
    sites = check_sites(options.sites)
    on_cpu, item = where.type == "cpu", dtype.itemsize
    read = len(select(options.lens_layers or "all", size.layers, "lens layers"))
    lens = replace(size.lens(item, len(sites)), layers=read)
    if not sites:
        positions = 0
    elif options.lens_positions is None:
        positions = lens.budget(tokens)
    else:
        words = {"template": range(min(tokens, _TEMPLATE))}
        positions = len(select(options.lens_positions, tokens, "lens positions", words))
    run = RunSize(
        tokens, item, positions, len(sites), on_cpu=on_cpu, kept=_kept(size, tokens, options)
    )
    chunk = options.chunk
    if chunk is None:
        states = len(sites) * read * size.width * item
        free = available(where)
        chunk = chunk_tokens(size, item, on_cpu=on_cpu, states=states, free=free)
    return replace(run, chunk=min(chunk, tokens))


def _kept(size: ModelSize, tokens: int, options: Options) -> RecordingSize:
    if unknown := [name for name in options.stats if name not in (*STATS, "lse")]:
        known = ", ".join((*STATS, "lse"))
        raise UsageError(f"unknown statistic {unknown[0]!r}; known: {known}")
    if options.storage not in ("float32", "float16"):
        raise UsageError(f"storage is float32 or float16, not {options.storage!r}")
    check_selection(options.heads, "heads", ("all", "mean"))
    heads = None
    if options.heads == "mean":
        heads = 1
    elif options.heads != "all":
        heads = len(select(options.heads, size.heads, "heads"))
    per_head = options.map_heads == "all"
    asked = rectangles(options.windows, tokens, size.layers, size.heads)
    return RecordingSize(
        stats=tuple(dict.fromkeys(("entropy", *options.stats))),
        layers=len(select(options.layers or "all", size.layers, "layers")),
        heads=heads,
        tile=map_tile(options.map_tile, tokens, size.layers, size.heads if per_head else 1),
        map_per_head=per_head,
        received=options.map_tile != "none",
        scores=options.scores,
        rectangles=(automatic(tokens, size.layers, size.heads), *asked),
        itemsize=2 if options.storage == "float16" else 4,
    )
