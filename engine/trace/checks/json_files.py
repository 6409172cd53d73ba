"""The JSON files of a stored trace, read within bounds of size and depth."""

from __future__ import annotations

from attentropy.engine.errors import TraceError
from attentropy.engine.trace.checks.files import StoredFiles
from attentropy.engine.trace.checks.json_text import BadJson, parse_json
from attentropy.engine.trace.digests import digest
from attentropy.engine.trace.types import JsonObject


class JsonFiles:
    """Reads the JSON files of a trace. `digests` are those of the files that were read, by name."""

    def __init__(self, files: StoredFiles) -> None:
        self._files = files
        self.digests: dict[str, str] = {}

    def read_metadata(self, name: str, max_bytes: int) -> JsonObject:
        """Return a file of Zarr v3 metadata. Raises `TraceError` as `read` does."""
        metadata = self.read(name, max_bytes)
        if metadata.get("zarr_format") != 3:
            raise TraceError(f"{self._files.name}: {name} is not Zarr v3")
        return metadata

    def read(self, name: str, max_bytes: int) -> JsonObject:
        """Return the JSON object in a file.

        Raises `TraceError` where the file is missing, larger than `max_bytes`, or something other
        than a JSON object within the bounds of `parse_json`.
        """
        trace, size = self._files.name, self._files.sizes.get(name)
        if size is None:
            raise TraceError(f"{trace}: not a complete Zarr v3 trace ({name} is missing)")
        if size > max_bytes:
            raise TraceError(f"{trace}: {name} is too large, so it was not opened")
        data = self._files.read(name)
        self.digests[name] = digest(data)
        try:
            content = parse_json(data, max_bytes=max_bytes, keep_halves=True)
        except BadJson as error:
            raise TraceError(f"{trace}: {name} is {error}, so it was not opened") from error
        if not isinstance(content, dict):
            raise TraceError(f"{trace}: {name} is not Zarr v3")
        return content
