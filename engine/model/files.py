"""The files of a stranger's model folder, looked at before any of them is loaded."""

from __future__ import annotations

import json
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
# The largest vocabularies in use take a third of it; reading takes ten times as much memory.
_LARGEST = 100 * 2**20
_READ = {".json", ".jinja", ".txt", ".model"}


@dataclass(frozen=True)
class Stored:
    """What the headers of the weights' files say, and their sizes bear out."""

    tensors: int
    elements: int
    bytes: int


def check_files(folder: Path, name: str, *, weights: bool = True) -> None:
    """Refuse a folder that lacks a part, whose index leads elsewhere, or whose texts are huge.

    Without `weights` a configuration is enough."""
    if (folder / "adapter_config.json").exists():
        raise UsageError(f"{name!r} is an adapter; merge it into its base model first")
    if not (folder / "config.json").is_file():
        raise UsageError(f"{name!r} has no config.json: not a model folder")
    if weights and not any(folder.glob("*.safetensors")):
        raise UsageError(
            f"{name!r} has no .safetensors weights; save them with "
            "model.save_pretrained(folder) (pickled weights are never read)"
        )
    if weights and not has_tokenizer(folder):
        raise UsageError(f"{name!r} has no tokenizer; save one with tokenizer.save_pretrained")
    for file in sorted(folder.iterdir()):
        if file.suffix in _READ and file.is_file() and file.stat().st_size > _LARGEST:
            size = file.stat().st_size >> 20
            raise AttentropyError(f"{name!r}: its {file.name} has {size} MiB, too large to read")
    if weights:
        weight_files(folder, name)


def has_tokenizer(folder: Path) -> bool:
    """Whether a tokenizer's file is there."""
    return any((folder / file).is_file() for file in TOKENIZER_FILES)


def weight_files(folder: Path, name: str) -> list[str]:
    """The weights' file names: the one file, or those of the index, which must be plain names."""
    index = folder / INDEX
    if not index.is_file():
        return [WEIGHTS]
    try:
        files = set(json.loads(index.read_text("utf-8"))["weight_map"].values())
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise UsageError(f"{name!r} has a broken {INDEX}") from error
    for file in files:
        inside = isinstance(file, str) and Path(file).name == file
        if not inside or not file.endswith(".safetensors"):
            raise UsageError(f"{name!r}: its index names a file that is refused")
    return [WEIGHTS] if (folder / WEIGHTS).is_file() else sorted(files)


def stored(folder: Path, name: str) -> Stored:
    """Sizes of the weights by their headers, which safetensors checks against the files' own."""
    from safetensors import safe_open

    tensors = elements = size = 0
    for file in weight_files(folder, name):
        path = folder / file
        if not path.is_file():
            raise UsageError(f"{name!r} lacks its {file}")
        size += path.stat().st_size
        with safe_open(path, framework="numpy") as weights:
            for key in weights.keys():  # noqa: SIM118  (it is no mapping)
                tensors += 1
                count = 1
                for length in weights.get_slice(key).get_shape():
                    count *= length
                elements += count
    return Stored(tensors, elements, size)
