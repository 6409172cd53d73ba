"""The bytes of a stranger's trace, checked before they are unpacked.

A compressed chunk says how many bytes it unpacks to, and zstd reserves as many: so a chunk may say
no other number than its array claims.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING, Any

from zarr.abc.store import Store
from zarr.core.buffer import default_buffer_prototype

from attentropy.engine.errors import TraceError
from attentropy.engine.trace.checks.arrays import MAX_TEXT_BYTES, Claim
from attentropy.engine.trace.digests import digest

if TYPE_CHECKING:
    from zarr.abc.store import ByteRequest
    from zarr.core.buffer import Buffer, BufferPrototype

    from attentropy.engine.trace.checks.metadata import Contents

# A zstd frame (RFC 8878, 3.1.1).
_MAGIC = b"\x28\xb5\x2f\xfd"
_DICTIONARY_BYTES = (0, 1, 2, 4)  # of the dictionary's number, by the flag in the frame's head
_REPEATED = 1  # the type of a block that is one byte, repeated


def frame_bytes(data: bytes) -> int | None:
    """Return the number of bytes that a zstd frame unpacks to, as its head gives it.

    None where the head gives no size, or where `data` is not exactly one frame.
    """
    if data[:4] != _MAGIC or len(data) < 6:
        return None
    head = data[4]
    single, kind = head >> 5 & 1, head >> 6
    at = 5 + (not single) + _DICTIONARY_BYTES[head & 3]
    width = 2**kind
    if (kind == 0 and not single) or len(data) < at + width:
        return None
    size = int.from_bytes(data[at : at + width], "little") + (256 if kind == 1 else 0)
    at, last = at + width, 0
    while not last:
        if len(data) < at + 3:
            return None
        block = int.from_bytes(data[at : at + 3], "little")
        last = block & 1
        at += 3 + (1 if block >> 1 & 3 == _REPEATED else block >> 3)
    return size if at + 4 * (head >> 2 & 1) == len(data) else None


class CheckedStore(Store):
    """The chunks of a trace, for reading.

    Raises `TraceError` for a chunk that is not what its array claims, and for one that does not
    have the digest which was written with it. `unpacked` counts the bytes of chunks.
    """

    supports_writes = False
    supports_deletes = False
    supports_listing = True

    def __init__(self, contents: Contents) -> None:
        super().__init__(read_only=True)
        self._contents = contents
        self._trace = contents.files.name
        self.unpacked = 0

    async def get(
        self,
        key: str,
        prototype: BufferPrototype | None = None,
        byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        """Return the bytes of a chunk, checked; None where there is no such file."""
        files, name = self._contents.files, key.partition("/c/")[0]
        claim = self._contents.claims.get(name)
        if byte_range is not None or claim is None or "/c/" not in key:
            raise TraceError(
                f"{self._trace}: {name} is not stored as in a trace, so it was not read"
            )
        damaged = f"{self._trace}: the values of {name} are damaged"
        if key not in files.sizes:
            if self._contents.digests is not None:
                raise TraceError(f"{damaged} (a chunk is missing)")
            return None
        if files.sizes[key] > claim.most_stored:
            raise TraceError(f"{damaged} (wrong size)")
        data = files.read(key)
        digests = self._contents.digests
        if digests is not None and digests.get(key) != digest(data):
            raise TraceError(f"{damaged} (checksum mismatch)")
        self.unpacked += self._checked_size(damaged, claim, data)
        return (prototype or default_buffer_prototype()).buffer.from_bytes(data)

    def __deepcopy__(self, memo: object) -> CheckedStore:
        """Return the store itself: a copy of a dataset reads the same file."""
        return self

    def _checked_size(self, damaged: str, claim: Claim, data: bytes) -> int:
        """Return the bytes that a chunk unpacks to, which are those that its array claims."""
        size = frame_bytes(data) if claim.packed else len(data)
        if size is None or size > (MAX_TEXT_BYTES if claim.size is None else claim.size):
            raise TraceError(f"{damaged} (wrong size)")
        if claim.size is None:
            if _count_texts(data, claim.packed) != claim.items:
                raise TraceError(f"{damaged} (wrong number of texts)")
        elif size != claim.size:
            raise TraceError(f"{damaged} (wrong size)")
        return size

    async def get_partial_values(
        self,
        prototype: BufferPrototype,
        key_ranges: Iterable[tuple[str, ByteRequest | None]],
    ) -> list[Buffer | None]:
        """Return the bytes of several chunks."""
        return [await self.get(key, prototype, part) for key, part in key_ranges]

    async def exists(self, key: str) -> bool:
        """Return whether there is a file of this name."""
        return key in self._contents.files.sizes

    async def set(self, key: str, value: Buffer) -> None:
        """Refuse to write."""
        raise TraceError(f"{self._trace} was opened for reading")

    async def delete(self, key: str) -> None:
        """Refuse to delete."""
        raise TraceError(f"{self._trace} was opened for reading")

    async def list(self) -> AsyncIterator[str]:
        """Yield the names of all files."""
        for name in self._contents.files.sizes:
            yield name

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """Yield the names of the files that start with `prefix`."""
        for name in self._contents.files.sizes:
            if name.startswith(prefix):
                yield name

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Yield the names of files and folders in the folder `prefix`."""
        start = f"{prefix.rstrip('/')}/" if prefix else ""
        own = (n.removeprefix(start) for n in self._contents.files.sizes if n.startswith(start))
        for name in {name.partition("/")[0] for name in own}:
            yield name

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = Store.__hash__


def _count_texts(data: bytes, packed: bool) -> int | None:
    """Return the number of texts in a chunk, as its first four bytes give it.

    None where the chunk cannot be unpacked.
    """
    from numcodecs.zstd import Zstd

    try:
        unpacked: Any = Zstd().decode(data) if packed else data
    except (RuntimeError, ValueError):
        return None
    return int.from_bytes(bytes(unpacked)[:4], "little")
