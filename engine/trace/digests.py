"""A digest of every file of a whole trace, so that what is damaged is found where it is read.

This tells of accidents. Who makes a trace can seal what they like: nothing is trusted for it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

NAME = "written.json"
_BYTES = 16


def digest(data: bytes | bytearray | memoryview) -> str:
    """Of a file's bytes."""
    return hashlib.blake2b(data, digest_size=_BYTES).hexdigest()


def seal(folder: Path) -> None:
    """Write the digests of all files in a folder into it, in place of those that are there."""
    found = {
        name: digest(file.read_bytes())
        for file in sorted(p for p in folder.rglob("*") if p.is_file())
        if (name := file.relative_to(folder).as_posix()) != NAME
    }
    (folder / NAME).write_text(json.dumps(found, indent=0), "utf-8")


def digests(written: Mapping[str, object]) -> dict[str, str]:
    """What `seal` wrote. Raises `ValueError` for anything else."""
    if not all(isinstance(name, str) for name in written.values()):
        raise ValueError(f"{NAME} holds something other than digests")
    return {name: str(value) for name, value in written.items()}
