"""The JSON files of a stored trace, read within bounds of size and depth."""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attentropy.engine.errors import TraceError
from attentropy.engine.trace.checks.unreadable import reason
from attentropy.engine.trace.types import JsonObject

_MAX_DEPTH = 32


class JsonFiles:
    """Reads the JSON files of the trace at `path`; `sizes` has the bytes of each file by name.

    An archive is open, and its directory read, once for all files: use it with `with`.
    """

    def __init__(self, path: Path, sizes: Mapping[str, int]) -> None:
        self._path, self._sizes = path, sizes
        self._archive = None if path.is_dir() else zipfile.ZipFile(path)

    def __enter__(self) -> JsonFiles:
        return self

    def __exit__(self, *error: object) -> None:
        if self._archive is not None:
            self._archive.close()

    def read_metadata(self, name: str, max_bytes: int) -> JsonObject:
        """Return a file of Zarr v3 metadata. Raises `TraceError` as `read` does."""
        metadata = self.read(name, max_bytes)
        if metadata.get("zarr_format") != 3:
            raise TraceError(f"{self._path.name}: {name} is not Zarr v3")
        return metadata

    def read(self, name: str, max_bytes: int) -> JsonObject:
        """Return the JSON object in a file.

        Raises `TraceError` where the file is missing, larger than `max_bytes`, nested too deep, or
        something other than a JSON object.
        """
        trace = self._path.name
        if name not in self._sizes:
            raise TraceError(f"{trace}: not a complete Zarr v3 trace ({name} is missing)")
        if self._sizes[name] > max_bytes:
            raise TraceError(f"{trace}: {name} is too large, so it was not opened")
        try:
            content = json.loads(
                self._bytes(name), parse_constant=_refuse_number, parse_float=_finite
            )
        except RecursionError as error:
            raise TraceError(
                f"{trace}: {name} is nested too deeply, so it was not opened"
            ) from error
        except ValueError as error:
            raise TraceError(f"{trace}: {name} is not valid JSON ({reason(error)})") from error
        if not isinstance(content, dict):
            raise TraceError(f"{trace}: {name} is not Zarr v3")
        if not _is_flat(content, _MAX_DEPTH):
            raise TraceError(f"{trace}: {name} is nested too deeply, so it was not opened")
        return content

    def _bytes(self, name: str) -> bytes:
        if self._archive is None:
            return (self._path / name).read_bytes()
        return self._archive.read(name)


def _refuse_number(text: str) -> float:
    raise ValueError(f"{text} is not a JSON number")


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse_number(text[:20])


def _is_flat(value: Any, depth: int) -> bool:
    """Return whether lists and dictionaries are nested at most `depth` levels deep."""
    level = [value]
    for _ in range(depth):
        inner = [list(v.values()) if isinstance(v, dict) else v for v in level
                 if isinstance(v, dict | list)]  # fmt: skip
        if not inner:
            return True
        level = [v for values in inner for v in values]
    return False
