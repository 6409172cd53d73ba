"""The files of a stranger's model folder, checked before any of them is loaded."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

from attentropy.engine.errors import AttentropyError, UsageError

INDEX = "model.safetensors.index.json"
WEIGHTS = "model.safetensors"
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "vocab.json",
    "vocab.txt",
    "tekken.json",
)
# Three times the largest vocabulary in use; reading a file takes ten times its size in memory.
_MAX_TEXT_BYTES = 100 * 2**20
_TEXT_ENDINGS = {".json", ".jinja", ".txt", ".model"}


@dataclass(frozen=True)
class StoredSizes:
    """Sizes of the weights, as the headers of their files give them and their sizes confirm."""

    tensors: int
    elements: int
    bytes: int


def check_files(folder: Path, name: str, *, weights: bool = True) -> None:
    """Refuse a folder that lacks a part, whose index leads elsewhere, or whose texts are huge.

    weights: False where a configuration is enough. Raises `UsageError`, or `AttentropyError` for a
    text that is too large.
    """
    if (folder / "adapter_config.json").exists():
        raise UsageError(f"{name!r} is an adapter; merge it into its base model first")
    if not (folder / "config.json").is_file():
        raise UsageError(f"{name!r} is not a model folder (it has no config.json)")
    if weights and not any(folder.glob("*.safetensors")):
        raise UsageError(
            f"{name!r} has no .safetensors weights; save them with "
            "model.save_pretrained(folder) (pickled weights are never read)"
        )
    if weights and not has_tokenizer(folder):
        raise UsageError(
            f"{name!r} has no tokenizer; save one with tokenizer.save_pretrained(folder)"
        )
    for file in sorted(folder.iterdir()):
        if (
            file.suffix in _TEXT_ENDINGS
            and file.is_file()
            and file.stat().st_size > _MAX_TEXT_BYTES
        ):
            size = file.stat().st_size >> 20
            raise AttentropyError(f"{name!r}: its {file.name} is too large to read ({size} MiB)")
    if weights:
        list_weight_files(folder, name)


def has_tokenizer(folder: Path) -> bool:
    """Return whether the folder has a file of a tokenizer."""
    return any((folder / file).is_file() for file in TOKENIZER_FILES)


def list_weight_files(folder: Path, name: str) -> list[str]:
    """Return the names of the weights' files: the only one, or those of the index.

    Raises `UsageError` where the index is broken or names anything but files of the folder.
    """
    index = folder / INDEX
    if not index.is_file():
        return [WEIGHTS]
    try:
        files = set(json.loads(index.read_text("utf-8"))["weight_map"].values())
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise UsageError(f"{name!r}: its {INDEX} cannot be read") from error
    for file in files:
        is_inside = isinstance(file, str) and Path(file).name == file
        if not is_inside or not file.endswith(".safetensors"):
            raise UsageError(
                f"{name!r}: its {INDEX} may only name .safetensors files in the same folder"
            )
    return [WEIGHTS] if (folder / WEIGHTS).is_file() else sorted(files)


def read_sizes(folder: Path, name: str) -> StoredSizes:
    """Return the sizes of the weights by their headers, which safetensors checks by file size."""
    from safetensors import safe_open

    tensors = elements = size = 0
    for file in list_weight_files(folder, name):
        path = folder / file
        if not path.is_file():
            raise UsageError(f"{name!r}: {file} is missing")
        size += path.stat().st_size
        with safe_open(path, framework="numpy") as weights:
            for key in weights.keys():  # noqa: SIM118  (it is no mapping)
                tensors += 1
                elements += math.prod(weights.get_slice(key).get_shape())
    return StoredSizes(tensors, elements, size)
