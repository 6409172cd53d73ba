"""The files of a stranger's trace: listed once, before any is read, and read by their names.

No file leads out of the trace, and no archive entry unpacks to more than it takes. An archive is
opened once.
"""

from __future__ import annotations

import io
import os
import stat
import threading
import weakref
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Protocol

from attentropy.engine.errors import TraceError
from attentropy.engine.failures import is_of_system
from attentropy.engine.trace.checks.current import folder_state
from attentropy.engine.trace.checks.regular import open_regular, read_regular
from attentropy.engine.trace.checks.unreadable import UNREADABLE, reason

MAX_FILES = 2**19
_MAX_DEPTH = 8  # folders within folders: ARRAY/c/0/0/0/0 has six
_MAX_DIRECTORY_BYTES = 100 * MAX_FILES
_SPARSE = 2**20  # a file over so many bytes may have holes, which take no space


class StoredFiles(Protocol):
    """The files of a trace, listed once."""

    @property
    def name(self) -> str:
        """The name of the trace."""

    @property
    def sizes(self) -> Mapping[str, int]:
        """The bytes of each file, by name."""

    @property
    def stored(self) -> Mapping[str, int]:
        """The space that each file takes: less than its size where it has holes."""

    def read(self, name: str) -> bytes:
        """Return the bytes of a file that is listed; raise one of `UNREADABLE`."""

    def are_current(self) -> bool:
        """Return whether `read` still reads the files that were listed."""


def open_files(path: Path) -> StoredFiles:
    """List the folder or zip at `path`.

    Raises `TraceError` for links, pipes and devices, for names that lead out of the trace or occur
    twice, for entries that are compressed, encrypted or larger than the archive, and for more files
    than any trace has.
    """
    return _Folder(path) if path.is_dir() else _Archive(path)


class _Folder:
    def __init__(self, path: Path) -> None:
        self.name, self._path = path.name, path
        self._state = folder_state(path)
        self.sizes, self.stored = list_folder(path)

    def read(self, name: str) -> bytes:
        return read_regular(self._path / name, self.sizes[name])

    def are_current(self) -> bool:
        return folder_state(self._path) == self._state


class _Archive:
    """An archive that stays open, with the directory that was checked."""

    def __init__(self, path: Path) -> None:
        self.name, self._path = path.name, path
        self._lock = threading.Lock()
        self._archive, file = _open_archive(path)
        weakref.finalize(self, file.close)
        infos = self._archive.infolist()
        _check_entries(path.name, infos, os.fstat(file.fileno()).st_size)
        self.sizes = {info.filename: info.file_size for info in infos if not info.is_dir()}
        self.stored = self.sizes

    def read(self, name: str) -> bytes:
        with self._lock:
            return self._archive.read(name)

    def are_current(self) -> bool:
        return True  # it stays open, whatever takes its name

    def __reduce__(self) -> tuple[type[_Archive], tuple[Path]]:
        """Return what opens the archive again in another process."""
        return _Archive, (self._path.absolute(),)


def list_folder(path: Path, depth: int = _MAX_DEPTH) -> tuple[dict[str, int], dict[str, int]]:
    """Return the size of each file in a folder, and the space that it takes, by name.

    depth: how many folders may be within each other. Raises `TraceError` for anything but files
    and folders, and for more files than any trace has.
    """
    sizes: dict[str, int] = {}
    stored: dict[str, int] = {}
    folders = [(path, "", 0)]
    while folders:
        folder, prefix, level = folders.pop()
        with os.scandir(folder) as entries:
            for entry in entries:
                name = f"{prefix}{entry.name}"
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode) and level < depth:
                    folders.append((Path(entry.path), f"{name}/", level + 1))
                elif stat.S_ISREG(status.st_mode):
                    sizes[name] = status.st_size
                    stored[name] = _space(entry.path, status)
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
    return sizes, stored


def _space(path: str, status: os.stat_result) -> int:
    """Return the bytes that a file takes: of a large file with holes, those of its blocks."""
    blocks = getattr(status, "st_blocks", None)
    if blocks is None or status.st_size < _SPARSE or 512 * blocks >= status.st_size // 2:
        return status.st_size
    # Some file systems compress, or count blocks late: only a hole says that there is nothing.
    with open_regular(Path(path), follow=False) as file:
        hole = os.lseek(file.fileno(), 0, getattr(os, "SEEK_HOLE", os.SEEK_END))
    return 512 * blocks if hole < status.st_size else status.st_size


class _BoundedFile(io.BufferedReader):
    """A file that gives an archive's directory only if it is one that a trace can have.

    Python reads the directory in one piece, before it knows the first entry.
    """

    is_bounded = True

    def read(self, size: int | None = -1, /) -> bytes:
        if self.is_bounded and size is not None and size > _MAX_DIRECTORY_BYTES:
            raise _DirectoryTooLarge
        return super().read(size)


class _DirectoryTooLarge(Exception):
    pass


def _open_archive(path: Path) -> tuple[zipfile.ZipFile, _BoundedFile]:
    """Open an archive; what Python raises for bytes that are none becomes one line."""
    try:
        file = _BoundedFile(open_regular(path).detach())
    except OSError as error:
        raise TraceError(f"{path.name}: cannot be read ({reason(error)})") from error
    try:
        archive = zipfile.ZipFile(file)
    except _DirectoryTooLarge:
        file.close()
        raise TraceError(
            f"{path.name} has more than {MAX_FILES:,} files, so it was not opened"
        ) from None
    except UNREADABLE as error:
        file.close()
        if is_of_system(error):
            raise TraceError(f"{path.name}: cannot be read ({reason(error)})") from error
        raise TraceError(
            f"{path.name}: not a trace, or truncated (not a complete zip archive)"
        ) from error
    file.is_bounded = False
    return archive, file


def _check_entries(trace: str, infos: list[zipfile.ZipInfo], size: int) -> None:
    """Raise `TraceError` for a directory that no trace of `size` bytes has."""
    if len(infos) > MAX_FILES:
        raise TraceError(f"{trace} has more than {MAX_FILES:,} files, so it was not opened")
    if len({info.filename for info in infos}) != len(infos):
        raise TraceError(f"{trace}: the archive has the same entry twice, so it was not opened")
    for info in infos:
        _check_entry(trace, info)
    if sum(info.file_size for info in infos) > size:
        raise TraceError(
            f"{trace}: the archive has entries larger than itself, so it was not opened"
        )


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
