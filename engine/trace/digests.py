"""Digests of the files of a finished trace, so that damage is noticed when a file is read.

They detect accidents, not attacks: whoever makes a trace can also write its digests, so nothing is
trusted because of them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

NAME = "written.json"
_DIGEST_BYTES = 16


def digest(data: bytes | bytearray | memoryview) -> str:
    """Return the digest of a file's bytes."""
    return hashlib.blake2b(data, digest_size=_DIGEST_BYTES).hexdigest()


def seal(folder: Path) -> None:
    """Write the digests of all files in `folder` into it, replacing earlier digests."""
    digest_by_name = {
        name: digest(file.read_bytes())
        for file in sorted(p for p in folder.rglob("*") if p.is_file())
        if (name := file.relative_to(folder).as_posix()) != NAME
    }
    (folder / NAME).write_text(json.dumps(digest_by_name, indent=0), "utf-8")


def parse_digests(written: Mapping[str, object]) -> dict[str, str]:
    """Return the digests that `seal` wrote, by file name.

    Raises `ValueError` for anything else.
    """
    if not all(isinstance(value, str) for value in written.values()):
        raise ValueError(f"{NAME} contains something other than digests")
    return {name: str(value) for name, value in written.items()}
