"""The bytes of a stranger's trace, checked before they are unpacked.

A compressed chunk says how many bytes it unpacks to, and zstd reserves as many: so a chunk may say
no other number than its array claims.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from zarr.storage import WrapperStore

from attentropy.engine.errors import TraceError
from attentropy.engine.trace.checks.arrays import Claim
from attentropy.engine.trace.digests import digest

if TYPE_CHECKING:
    from zarr.abc.store import ByteRequest, Store
    from zarr.core.buffer import Buffer, BufferPrototype

_MAX_TEXT_BYTES = 2**26  # of a chunk of texts, unpacked
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


class CheckedStore(WrapperStore["Store"]):
    """The store of a trace, for reading.

    Raises `TraceError` for a chunk that is not what its array claims, and for a file that does not
    have the digest which was written with it.
    """

    def __init__(
        self,
        store: Store,
        trace: str,
        claims: Mapping[str, Claim],
        digests: Mapping[str, str] | None,
    ) -> None:
        super().__init__(store)
        self._trace, self._claims, self._digests = trace, claims, digests

    def _with_store(self, store: Store) -> CheckedStore:
        return CheckedStore(store, self._trace, self._claims, self._digests)

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Return the bytes of a file, checked; None where there is no such file."""
        is_chunk = "/c/" in key
        name = key.partition("/c/")[0].removesuffix("/zarr.json")
        content = await self._store.get(key, prototype)
        if byte_range is not None:
            raise TraceError(
                f"{self._trace}: {name} is not stored as in a trace, so it was not read"
            )
        if content is not None:
            self._check(key, name, is_chunk, content.to_bytes())
        elif is_chunk and self._digests is not None:
            raise TraceError(
                f"{self._trace}: the values of {name} are damaged (a chunk is missing)"
            )
        return content

    def _check(self, key: str, name: str, is_chunk: bool, data: bytes) -> None:
        if self._digests is not None and self._digests.get(key) != digest(data):
            raise TraceError(
                f"{self._trace}: the values of {name} are damaged (checksum mismatch)"
                if is_chunk
                else f"{self._trace}: {key} is damaged (checksum mismatch)"
            )
        claim = self._claims.get(name)
        if claim is not None and is_chunk:
            self._check_size(name, claim, data)

    def _check_size(self, name: str, claim: Claim, data: bytes) -> None:
        damaged = f"{self._trace}: the values of {name} are damaged"
        size = frame_bytes(data) if claim.packed else len(data)
        if claim.size is not None:
            if size != claim.size:
                raise TraceError(f"{damaged} (wrong size)")
        elif size is None or size > _MAX_TEXT_BYTES:
            raise TraceError(f"{damaged} (wrong size)")
        elif _count_texts(data, claim.packed) != claim.items:
            raise TraceError(f"{damaged} (wrong number of texts)")


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
