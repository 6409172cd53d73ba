"""Traces of few bytes whose arrays claim to be large, as strangers can write them."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import numpy as np

from traces import reseal

_DIMS = (
    "head", "layer", "position", "query", "window_query", "window_key", "k", "site", "score_head",
    "vocabulary", "step", "map_query", "map_key", "tile_q", "tile_k", "chunk", "reference",
    "answer_head", "span", "word",
)  # fmt: skip


def claim_much(rng: random.Random, trace: Path) -> str:
    """Let a trace of few bytes claim much: some dimensions grown, in true chunks.

    Returns the names of the dimensions with their sizes.
    """
    grown = {d: int(10 ** rng.uniform(1, 6)) for d in rng.sample(_DIMS, rng.choice((1, 2, 3)))}
    if "position" in grown or "query" in grown:
        grown |= dict.fromkeys(("position", "query"), grown.get("position", grown.get("query", 1)))
    for file in sorted(trace.rglob("*/zarr.json")):
        _grow(rng, file, grown)
    metadata = json.loads((trace / "zarr.json").read_text())
    if "position" in grown:
        metadata["attributes"]["prompt"]["tokens"] = grown["position"]
        (trace / "zarr.json").write_text(json.dumps(metadata))
    reseal(trace)
    return " ".join(f"{name}={size}" for name, size in grown.items())


def _grow(rng: random.Random, file: Path, grown: dict[str, int]) -> None:
    """Write an array again with its dimensions grown, all of its values alike or in order."""
    import zarr

    metadata = json.loads(file.read_text())
    if metadata["node_type"] == "group":
        return
    dims, shape = metadata["dimension_names"], metadata["shape"]
    if not set(dims) & set(grown):
        return
    new = [grown.get(dim, size) for dim, size in zip(dims, shape, strict=True)]
    chunks = [
        1 if dim in ("layer", "site") and len(dims) > 1 else n
        for dim, n in zip(dims, new, strict=True)
    ]
    n_chunks = int(np.prod([-(-n // c) for n, c in zip(new, chunks, strict=True)]))
    if int(np.prod(new, dtype=float)) > 3e7 or n_chunks > 500:  # claimed alone, nothing written
        metadata["shape"] = new
        metadata["chunk_grid"]["configuration"]["chunk_shape"] = new
        file.write_text(json.dumps(metadata))
        return
    array = zarr.open_array(str(file.parent), mode="r")
    first = array[...].reshape(-1)[0]  # or what no check of the values refuses
    if file.parent.name in ("window", "map", "lens_top_logprobs"):
        first = -20.0 if dims[-1] == "k" else 1 / new[-1]
    shutil.rmtree(file.parent)
    is_text = metadata["data_type"] == "string"
    array = zarr.create_array(
        str(file.parent), shape=new, chunks=chunks, dtype=str if is_text else array.dtype,
        dimension_names=dims, config={"write_empty_chunks": True},
    )  # fmt: skip
    if len(dims) == 1 and array.dtype.kind == "i" and dims[0] == file.parent.name:
        array[...] = np.arange(new[0], dtype=array.dtype)
    else:
        array[...] = np.full(new, first, object if is_text else array.dtype)
