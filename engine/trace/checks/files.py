"""The files of a stored trace and their sizes, listed before any is read: none leads out of it."""

from __future__ import annotations

import os
import stat
import struct
import zipfile
from pathlib import Path

from attentropy.engine.errors import TraceError

MOST_FILES = 2**19
_DEEPEST = 8  # folders within folders: ARRAY/c/0/0/0/0 has six
_MOST_DIRECTORY_BYTES = 100 * MOST_FILES


def listed(path: Path) -> dict[str, int]:
    """Name and bytes of every file in the folder or zip at `path`.

    Raises `TraceError` for links and devices, names that lead out of the trace or come twice,
    entries that are compressed, encrypted, or claim more than the archive holds, and for more
    files than any trace has.
    """
    return _of_folder(path) if path.is_dir() else _of_archive(path)


def _of_folder(path: Path) -> dict[str, int]:
    found: dict[str, int] = {}
    folders = [(path, "", 0)]
    while folders:
        folder, prefix, depth = folders.pop()
        with os.scandir(folder) as entries:
            for entry in entries:
                name = f"{prefix}{entry.name}"
                kind = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(kind.st_mode) and depth < _DEEPEST:
                    folders.append((Path(entry.path), f"{name}/", depth + 1))
                elif stat.S_ISREG(kind.st_mode):
                    found[name] = kind.st_size
                elif stat.S_ISLNK(kind.st_mode):
                    raise TraceError(f"{path.name}: a link may lead outside of the trace, refused")
                else:
                    raise TraceError(f"{path.name}: neither files nor folders in it, refused")
                if len(found) + len(folders) > MOST_FILES:
                    raise TraceError(f"{path.name}: over {MOST_FILES:,} files, refused")
    return found


def _of_archive(path: Path) -> dict[str, int]:
    if not zipfile.is_zipfile(path):
        raise TraceError(f"{path.name}: not a trace, or cut short (no whole zip archive)")
    size = path.stat().st_size
    if _directory_bytes(path, size) > _MOST_DIRECTORY_BYTES:
        raise TraceError(f"{path.name}: over {MOST_FILES:,} files, refused")
    with zipfile.ZipFile(path) as archive:
        infos = archive.infolist()
    if len({info.filename for info in infos}) != len(infos):
        raise TraceError(f"{path.name}: the same entry twice in the archive, refused")
    for info in infos:
        name, mode = info.orig_filename, info.external_attr >> 16
        if name.startswith("/") or ".." in name.split("/") or "\\" in name or "\0" in name:
            raise TraceError(f"{path.name}: an archive entry leads out of the trace, refused")
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise TraceError(f"{path.name}: a link in the archive, refused")
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 0x1:
            raise TraceError(f"{path.name}: a compressed or encrypted archive entry, refused")
        if zipfile.Path(archive, name).suffix in (".zip", ".zarr"):
            raise TraceError(f"{path.name}: an archive within the archive, refused")
        if info.compress_size != info.file_size:
            raise TraceError(f"{path.name}: an archive entry with two sizes, refused")
    if sum(info.file_size for info in infos) > size:
        raise TraceError(f"{path.name}: entries larger than the archive, refused")
    return {info.filename: info.file_size for info in infos if not info.is_dir()}


def _directory_bytes(path: Path, size: int) -> int:
    """What the archive's list of entries takes, as its end says it: read whole before the first
    entry is known."""
    tail = min(size, 2**16 + 22)
    with open(path, "rb") as file:
        file.seek(size - tail)
        end = file.read(tail)
    at = end.rfind(b"PK\5\6")
    (found,) = struct.unpack("<L", end[at + 12 : at + 16])
    if found != 0xFFFFFFFF:
        return int(found)
    at = end.rfind(b"PK\6\6")  # the end of a large archive, which says it in eight bytes
    return int(struct.unpack("<Q", end[at + 40 : at + 48])[0]) if at >= 0 else size
