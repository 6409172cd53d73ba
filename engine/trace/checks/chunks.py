"""The bytes of a stored trace, checked before they are unpacked: whole, and no more than claimed.

A compressed chunk says what it will take, and the library that unpacks it reserves as much.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zarr.storage import WrapperStore

from attentropy.engine.errors import TraceError
from attentropy.engine.trace.checks.metadata import Claim
from attentropy.engine.trace.digests import digest

MOST_TEXT_BYTES = 2**26  # of a chunk of texts, unpacked
_MAGIC = b"\x28\xb5\x2f\xfd"
_DICTIONARY = (0, 1, 2, 4)  # bytes of its number, in a frame's head
_REPEATED = 1  # a block that is one byte many times


def frame_bytes(data: bytes) -> int | None:
    """Bytes that a zstd frame says it holds (RFC 8878, 3.1.1); None where it says nothing, or is
    not one whole frame and nothing after it."""
    if data[:4] != _MAGIC or len(data) < 6:
        return None
    head = data[4]
    single, kind = head >> 5 & 1, head >> 6
    at = 5 + (not single) + _DICTIONARY[head & 3]
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


class Checked(WrapperStore[Any]):
    """The store of a trace, to read: raises `TraceError` for a chunk that is not what its array
    claims, and for a file that is not the one that was sealed."""

    def __init__(
        self, store: Any, trace: str, claims: Mapping[str, Claim], sealed: Mapping[str, str] | None
    ) -> None:
        super().__init__(store)
        self._trace, self._claims, self._sealed = trace, claims, sealed

    def _with_store(self, store: Any) -> Checked:
        return Checked(store, self._trace, self._claims, self._sealed)

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
        """As the store's own."""
        found = await self._store.get(key, prototype)
        name, _, rest = key.partition("/")
        if found is not None and byte_range is None:
            self._check(key, name, rest, found.to_bytes())
        elif byte_range is not None:
            raise TraceError(f"{self._trace}: {name} is stored in a way no trace is, refused")
        elif rest.startswith("c/") and self._sealed is not None:
            raise TraceError(f"{self._trace}: the values of {name} are damaged (a chunk is gone)")
        return found

    def _check(self, key: str, name: str, rest: str, data: bytes) -> None:
        if self._sealed is not None and self._sealed.get(key) != digest(data):
            raise TraceError(
                f"{self._trace}: the values of {name} are damaged (not those that were written)"
                if rest.startswith("c/")
                else f"{self._trace}: {key} is damaged (not what was written)"
            )
        claim = self._claims.get(name)
        if claim is None or not rest.startswith("c/"):
            return
        damaged = f"{self._trace}: the values of {name} are damaged"
        size = frame_bytes(data) if claim.packed else len(data)
        if claim.size is not None:
            if size != claim.size:
                raise TraceError(f"{damaged} (of another size)")
        elif size is None or size > MOST_TEXT_BYTES:
            raise TraceError(f"{damaged} (of another size)")
        elif _texts(data, claim.packed) != claim.items:
            raise TraceError(f"{damaged} (of another number)")


def _texts(data: bytes, packed: bool) -> int | None:
    """How many texts a chunk holds, by its first four bytes; None where it cannot be unpacked."""
    from numcodecs.zstd import Zstd

    try:
        return int.from_bytes(bytes(Zstd().decode(data) if packed else data)[:4], "little")
    except (RuntimeError, ValueError):
        return None
