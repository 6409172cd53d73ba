"""The files of a stranger's trace and their sizes, listed before any of them is read.

No file leads out of the trace, and no archive entry unpacks to more than it takes.
"""

from __future__ import annotations

import os
import stat
import struct
import zipfile
from pathlib import Path, PurePosixPath

from attentropy.engine.errors import TraceError

MAX_FILES = 2**19
_MAX_DEPTH = 8  # folders within folders: ARRAY/c/0/0/0/0 has six
_MAX_DIRECTORY_BYTES = 100 * MAX_FILES


def list_files(path: Path) -> dict[str, int]:
    """Return the size in bytes of every file in the folder or zip at `path`, by name.

    Raises `TraceError` for links and devices, for names that lead out of the trace or occur twice,
    for entries that are compressed, encrypted or larger than the archive, and for more files than
    any trace has.
    """
    return _list_folder(path) if path.is_dir() else _list_archive(path)


def _list_folder(path: Path) -> dict[str, int]:
    sizes: dict[str, int] = {}
    folders = [(path, "", 0)]
    while folders:
        folder, prefix, depth = folders.pop()
        with os.scandir(folder) as entries:
            for entry in entries:
                name = f"{prefix}{entry.name}"
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode) and depth < _MAX_DEPTH:
                    folders.append((Path(entry.path), f"{name}/", depth + 1))
                elif stat.S_ISREG(status.st_mode):
                    sizes[name] = status.st_size
                elif stat.S_ISLNK(status.st_mode):
                    raise TraceError(
                        f"{path.name} contains a link, which may lead outside the trace, so it was "
                        "not opened"
                    )
                else:
                    raise TraceError(
                        f"{path.name} contains something other than files and folders, so it was "
                        "not opened"
                    )
                if len(sizes) + len(folders) > MAX_FILES:
                    raise TraceError(
                        f"{path.name} has more than {MAX_FILES:,} files, so it was not opened"
                    )
    return sizes


def _list_archive(path: Path) -> dict[str, int]:
    if not zipfile.is_zipfile(path):
        raise TraceError(f"{path.name}: not a trace, or truncated (not a complete zip archive)")
    size = path.stat().st_size
    if _directory_bytes(path, size) > _MAX_DIRECTORY_BYTES:
        raise TraceError(f"{path.name} has more than {MAX_FILES:,} files, so it was not opened")
    with zipfile.ZipFile(path) as archive:
        infos = archive.infolist()
    if len({info.filename for info in infos}) != len(infos):
        raise TraceError(f"{path.name}: the archive has the same entry twice, so it was not opened")
    for info in infos:
        _check_entry(path.name, info)
    if sum(info.file_size for info in infos) > size:
        raise TraceError(
            f"{path.name}: the archive has entries larger than itself, so it was not opened"
        )
    return {info.filename: info.file_size for info in infos if not info.is_dir()}


def _check_entry(trace: str, info: zipfile.ZipInfo) -> None:
    """Raise `TraceError` for an archive entry that no trace has."""
    name, mode = info.orig_filename, info.external_attr >> 16
    if name.startswith("/") or ".." in name.split("/") or "\\" in name or "\0" in name:
        raise TraceError(
            f"{trace}: an archive entry points outside the trace, so it was not opened"
        )
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise TraceError(f"{trace}: the archive contains a link, so it was not opened")
    if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 0x1:
        raise TraceError(
            f"{trace}: an archive entry is compressed or encrypted, so it was not opened"
        )
    if PurePosixPath(trace, name).suffix in (".zip", ".zarr"):
        raise TraceError(f"{trace}: the archive contains another archive, so it was not opened")
    if info.compress_size != info.file_size:
        raise TraceError(f"{trace}: an archive entry has two sizes, so it was not opened")


def _directory_bytes(path: Path, size: int) -> int:
    """Return the size in bytes of the archive's directory, as the end of the archive gives it.

    Python reads the directory completely before the first entry is known.
    """
    tail = min(size, 2**16 + 22)
    with open(path, "rb") as file:
        file.seek(size - tail)
        end = file.read(tail)
    at = end.rfind(b"PK\5\6")
    (directory,) = struct.unpack("<L", end[at + 12 : at + 16])
    if directory != 0xFFFFFFFF:
        return int(directory)
    at = end.rfind(b"PK\6\6")  # a large archive gives its size in eight bytes
    return int(struct.unpack("<Q", end[at + 40 : at + 48])[0]) if at >= 0 else size
