"""NAME.partial, beside the target until that is whole: the growing trace, and how far it got.

    trace.zarr/          all arrays from the start, their missing values filled in
    run.json             what is run (two runs with the same are the same run), and why it stopped
    commits/000000.safetensors …    one for each finished chunk, with what the end needs of it
    cache/000000.safetensors …      its keys and values, where they are kept

A chunk counts as finished once its commit is there, which is written last and in one step.
Nothing here imports torch but what a run itself does.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attentropy.engine.errors import TraceError, without_paths
from attentropy.engine.trace import store

if TYPE_CHECKING:
    from torch import Tensor

SUFFIX = ".partial"
TRACE = "trace.zarr"  # the store within

_FORM, _VERSION = "attentropy.partial", 1
_MAX_BYTES = 16 * 2**20  # of run.json, and of a commit's header


@dataclass(frozen=True)
class Progress:
    """How far a run got: `done` of `tokens` tokens in `chunks` of `chunk` each."""

    tokens: int
    done: int
    chunks: int
    chunk: int
    reason: str | None

    @property
    def words(self) -> str:
        """As one reads it: "1,024 of 4,096 tokens (out of memory)"."""
        why = f" ({self.reason})" if self.reason else ""
        return f"{self.done:,} of {self.tokens:,} tokens{why}"


class Partial:
    """The folder beside `target`. A `temporary` one goes when its run ends, however it does: no
    other can go on from it."""

    def __init__(self, target: Path, *, temporary: bool = False) -> None:
        self.target = target
        self.temporary = temporary
        self.folder = target.with_name(target.name + SUFFIX)

    @property
    def trace(self) -> Path:
        """The growing store."""
        return self.folder / TRACE

    def exists(self) -> bool:
        """Whether a run left something here that another could go on from."""
        return (self.folder / "run.json").is_file() and self.trace.is_dir()

    def begin(self, run: Mapping[str, Any], fill: Any) -> None:
        """Make the folder, there at once with all of `fill(trace folder)` or not at all."""
        self.discard()
        scratch = self.target.with_name(f".{self.target.name}{SUFFIX}")
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        try:
            (scratch / "commits").mkdir()
            (scratch / "cache").mkdir()
            fill(scratch / TRACE)
            facts = {"format": _FORM, "format_version": _VERSION, "reason": None, **run}
            _write(scratch / "run.json", json.dumps(facts, ensure_ascii=False).encode())
            scratch.rename(self.folder)
        except BaseException:
            shutil.rmtree(scratch, ignore_errors=True)
            raise

    def run(self) -> dict[str, Any]:
        """What `begin` was given. Raises `TraceError` where that cannot be read."""
        return _run(self.folder)

    def stopped(self, reason: str | None) -> None:
        """Note why the run is not going on; as far as the disk allows."""
        try:
            facts = self.run() | {"reason": reason}
            _write(self.folder / "run.json", json.dumps(facts, ensure_ascii=False).encode())
        except (OSError, TraceError):
            return

    def progress(self) -> Progress:
        """How far it got."""
        return progress(self.folder)

    def commit(self, chunk: int, tensors: Mapping[str, Tensor], facts: Mapping[str, str]) -> None:
        """A chunk is finished: what the end needs of it, on the disk before its name is."""
        from safetensors.torch import save

        _write(self._file("commits", chunk), save(dict(tensors), dict(facts)))
        before = self._file("commits", chunk - 1, "sweeps")
        before.unlink(missing_ok=True)

    def committed(self, chunk: int) -> tuple[dict[str, Tensor], dict[str, str]]:
        """What `commit` was given."""
        return _load(self._file("commits", chunk)), _header(self._file("commits", chunk))

    def keep(self, kind: str, chunk: int, tensors: Mapping[str, Tensor]) -> None:
        """Write what goes on from a chunk, before its commit: "sweeps", of which the last is
        enough, or "cache"."""
        from safetensors.torch import save

        name = ("cache", chunk) if kind == "cache" else ("commits", chunk, kind)
        _write(self._file(*name), save(dict(tensors)))

    def kept(self, kind: str, chunk: int) -> dict[str, Tensor]:
        """What `keep` was given."""
        name = ("cache", chunk) if kind == "cache" else ("commits", chunk, kind)
        return _load(self._file(*name))

    def has_cache(self, chunks: int) -> bool:
        """Whether the keys and values of the first `chunks` chunks are all here."""
        return all(self._file("cache", chunk).is_file() for chunk in range(chunks))

    def finish(self) -> None:
        """The trace, which is whole, takes its place; nothing is left beside it."""
        store.place(self.trace, self.target)
        self.discard()

    def discard(self) -> None:
        """Delete the folder; it is no longer called so before the first file goes."""
        away = self.target.with_name(f".{self.target.name}{SUFFIX}.old")
        shutil.rmtree(away, ignore_errors=True)
        if self.folder.exists():
            self.folder.rename(away)
            shutil.rmtree(away, ignore_errors=True)

    def _file(self, folder: str, chunk: int, kind: str = "") -> Path:
        return self.folder / folder / f"{kind}{chunk:06d}.safetensors"


def progress(folder: Path) -> Progress:
    """How far the run got whose folder this is. Raises `TraceError` where there is none."""
    run = _run(folder)
    tokens, chunk = run.get("tokens"), run.get("chunk")
    if type(tokens) is not int or type(chunk) is not int or min(tokens, chunk) < 1:
        raise TraceError(f"{folder.name}: run.json does not say how long the run is")
    chunks = -(-tokens // chunk)
    done = 0
    while done < chunks and (folder / "commits" / f"{done:06d}.safetensors").is_file():
        done += 1
    reason = run.get("reason")
    reason = without_paths(" ".join(reason.split()))[:300] if isinstance(reason, str) else None
    return Progress(tokens, min(tokens, done * chunk), chunks, chunk, reason)


def vocabulary(folder: Path) -> dict[int, str]:
    """The texts of the vocabulary entries that the finished chunks name."""
    found: dict[int, str] = {}
    for file in sorted((folder / "commits").glob("[0-9]*.safetensors")):
        texts = json.loads(_header(file).get("vocabulary", "{}"))
        found |= {int(i): str(text) for i, text in texts.items()}
    return found


def first_difference(begun: Any, now: Any, name: str = "") -> tuple[str, Any, Any] | None:
    """(name, begun, now) of the first thing in which two descriptions of a run differ."""
    if isinstance(begun, dict) and isinstance(now, dict):
        for key in (*begun, *(key for key in now if key not in begun)):
            inner = f"{name} {key}" if name else str(key)
            found = first_difference(begun.get(key), now.get(key), inner)
            if found is not None:
                return found
        return None
    return None if begun == now else (name, begun, now)


def _run(folder: Path) -> dict[str, Any]:
    try:
        if (folder / "run.json").stat().st_size > _MAX_BYTES:
            raise TraceError(f"{folder.name}: run.json is too large, refused")
        found = json.loads((folder / "run.json").read_bytes())
    except (OSError, ValueError) as error:
        raise TraceError(f"{folder.name}: not an unfinished run (no readable run.json)") from error
    if not isinstance(found, dict) or found.get("format") != _FORM:
        raise TraceError(f"{folder.name}: not an unfinished run of attentropy")
    if found.get("format_version") != _VERSION:
        raise TraceError(f"{folder.name}: begun by another version of attentropy")
    return found


def _load(file: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(file))
    except (OSError, SafetensorError) as error:
        raise TraceError(
            f"{file.name}: the file of a finished chunk cannot be read; start anew with --force"
        ) from error


def _header(file: Path) -> dict[str, str]:
    """The texts of a safetensors file, read without its library."""
    with open(file, "rb") as opened:
        size = int.from_bytes(opened.read(8), "little")
        if size > _MAX_BYTES:
            raise TraceError(f"{file.name}: its header is too large, refused")
        try:
            found = json.loads(opened.read(size)).get("__metadata__", {})
            texts = {str(name): str(text) for name, text in found.items()}
            json.loads(texts.get("vocabulary", "{}")).items()
        except (ValueError, AttributeError) as error:
            raise TraceError(
                f"{file.name}: the file of a finished chunk cannot be read; start anew with --force"
            ) from error
    return texts


def _write(path: Path, data: bytes) -> None:
    """The file whole, on the disk, before it has its name."""
    scratch = path.with_name(path.name + ".new")
    with open(scratch, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(scratch, path)
    for folder in _openable(path.parent):
        os.fsync(folder)


def _openable(folder: Path) -> Iterator[int]:
    """A folder as something to synchronise, where the system has that."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        yield handle
    finally:
        os.close(handle)
