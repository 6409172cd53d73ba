"""Files of an unfinished run that survive an interruption: written durably, read with suspicion.

Tensors are stored as safetensors; torch is imported only where tensors are written or read.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from attentropy.engine.errors import TraceError
from attentropy.engine.output.durable import write_durably
from attentropy.engine.trace.checks.json_text import parse_json
from attentropy.engine.trace.checks.regular import open_regular
from attentropy.engine.trace.checks.unreadable import UNREADABLE

if TYPE_CHECKING:
    from torch import Tensor

MAX_BYTES = 16 * 2**20  # of run.json, and of a safetensors file's header


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, str] | None = None
) -> None:
    """Write tensors, and texts about them, as one safetensors file."""
    from safetensors.torch import save

    write_durably(path, save(dict(tensors), None if facts is None else dict(facts)))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file. Raises `TraceError` where it is damaged."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        open_regular(path, follow=False).close()
        return dict(load_file(path))
    except (*UNREADABLE, SafetensorError) as error:
        raise _unreadable(path) from error


def read_facts(path: Path) -> dict[str, str]:
    """Return the texts of a safetensors file, read without torch.

    Raises `TraceError` where they are damaged.
    """
    try:
        with open_regular(path, follow=False) as file:
            size = int.from_bytes(file.read(8), "little")
            if size > MAX_BYTES:
                raise TraceError(f"{path.name}: its header is too large, so it was not opened")
            header = file.read(size)
            if len(header) < size:
                raise ValueError("the file is shorter than its header")
            metadata = parse_json(header).get("__metadata__", {})
        return {str(name): str(text) for name, text in metadata.items()}
    except UNREADABLE as error:
        raise _unreadable(path) from error


def _unreadable(path: Path) -> TraceError:
    return TraceError(
        f"{path.name}: the file of a finished chunk cannot be read; start over with `force=True`"
    )
