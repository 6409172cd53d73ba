"""A fingerprint of a tokenizer's vocabulary: where two are equal, ids mean the same texts."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

# Files of which one has the vocabulary, in a tokenizer's folder.
_FILES = ("tokenizer.json", "tekken.json", "tokenizer.model", "vocab.json", "vocab.txt")

# By the file and the number of entries, since tokens may be added after loading.
_digests: dict[tuple[str, int, int, int], str] = {}


def vocabulary_sha256(tokenizer: Any) -> str:
    """Return a hash of all tokens and their ids.

    It takes a third of a second for 150,000 tokens, so that of a file is computed once: a file is
    known by its path, size and time.
    """
    key = _file_key(tokenizer)
    if key is None:
        return _digest(tokenizer)
    if key not in _digests:
        _digests[key] = _digest(tokenizer)
    return _digests[key]


def _file_key(tokenizer: Any) -> tuple[str, int, int, int] | None:
    """Return what identifies the tokenizer's file and entries; None where no file is known."""
    folder = Path(str(getattr(tokenizer, "name_or_path", "") or ""))
    path = next((folder / name for name in _FILES if (folder / name).is_file()), None)
    if path is None or str(folder) == ".":
        return None
    status = path.stat()
    return str(path.resolve()), status.st_size, status.st_mtime_ns, len(tokenizer)


def _digest(tokenizer: Any) -> str:
    vocabulary = tokenizer.get_vocab()
    tokens, ids = list(vocabulary), np.fromiter(vocabulary.values(), np.int64, len(vocabulary))
    order = np.argsort(ids, kind="stable")
    text = "\0".join(str(tokens[i]) for i in order)
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass"))
    digest.update(ids[order].tobytes())
    return digest.hexdigest()
