"""An unfinished run's folder NAME.partial: the growing trace, and how far the run got.

    trace.zarr/          all arrays from the start, filled with their missing values
    run.json             the run (two runs with equal files are the same run), and why it stopped
    commits/000000.safetensors …    one for each finished chunk: what the end of the run needs of it
    cache/000000.safetensors …      the chunk's keys and values, where they are kept

The folder stands next to the target until the trace is complete. A chunk counts as finished once
its commit exists, which is written last and in one step.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attentropy.engine.errors import TraceError, UsageError, strip_paths
from attentropy.engine.output.check import follow_link
from attentropy.engine.output.durable import write_durably
from attentropy.engine.output.ownership import RUN_FORMAT, RUN_SUFFIX, is_own_run
from attentropy.engine.output.place import Place, reserve
from attentropy.engine.trace import store
from attentropy.engine.trace.checks.files import list_folder
from attentropy.engine.trace.checks.json_text import BadJson, parse_json
from attentropy.engine.trace.checks.metadata import inspect
from attentropy.engine.trace.checks.regular import read_regular
from attentropy.engine.trace.checks.unreadable import UNREADABLE
from attentropy.engine.trace.checks.unreadable import reason as reason_of
from attentropy.engine.trace.chunk_files import (
    MAX_BYTES,
    read_facts,
    read_tensors,
    write_tensors,
)
from attentropy.engine.trace.finished_chunks import (
    CHUNK,
    RUN,
    AnswerTokens,
    answer_of,
    commit_facts,
    run_digest,
    vocabulary_of,
)
from attentropy.engine.trace.schema import TRACE as TRACE_FORM
from attentropy.engine.trace.text import count
from attentropy.engine.trace.types import JsonObject

if TYPE_CHECKING:
    from torch import Tensor

SUFFIX = RUN_SUFFIX
TRACE = "trace.zarr"  # the store within the folder

_VERSION = 1
_RUN = "run.json"
_MAX_DEPTH = 10  # folders within folders: those of a trace, within the folder
ANY_WORK = 2**62  # cells: a run continues with arrays of any size

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Progress:
    """How far a run got: `done` of `tokens` tokens, in `chunks` chunks of `chunk` tokens each.

    These are the prompt's; `commits` chunks are finished in all, and `answered` tokens of the
    answer are in those that follow the prompt's.
    """

    tokens: int
    done: int
    chunks: int
    chunk: int
    reason: str | None
    commits: int = 0
    answered: int = 0

    @property
    def words(self) -> str:
        """The progress in words: "1,024 of 4,096 tokens (out of memory)"."""
        return f"{self.counts} ({self.reason})" if self.reason else self.counts

    @property
    def counts(self) -> str:
        """The progress alone, for a sentence that says why the run stopped."""
        answer = f" and {count(self.answered, 'token')} of the answer" if self.answered else ""
        return f"{self.done:,} of {count(self.tokens, 'token')}{answer}"


class PartialTrace:
    """The folder of an unfinished run, next to its `target`.

    Where the target is a link, it stands next to what the link leads to. A `temporary` folder is
    deleted when its run ends, however it ends; no run can resume from it.
    """

    def __init__(self, target: Path, *, temporary: bool = False) -> None:
        self.target = target
        self.temporary = temporary
        real = follow_link(target)
        self.folder = real.with_name(real.name + SUFFIX)

    @property
    def trace(self) -> Path:
        """The growing store."""
        return self.folder / TRACE

    def exists(self) -> bool:
        """Return whether there is a run here that another could resume."""
        return (self.folder / _RUN).is_file() and self.trace.is_dir()

    @contextmanager
    def reserve(self, *, force: bool = True) -> Iterator[Place]:
        """Keep other runs from writing to the target, or to this folder, while this is open.

        With `force` a trace at the target may be replaced. Raises `UsageError` where the target
        cannot be written, or where something that is no run of attentropy has the folder's name,
        and `AttentropyError` where another run has the target.
        """
        with reserve(store.check_name(self.target), force=force, suffix=SUFFIX) as place:
            if os.path.lexists(self.folder) and not is_own_run(self.folder):
                raise UsageError(
                    f"{self.folder.name!r}, where the run would keep its state, has something "
                    "that attentropy did not write; move it away, or name another output"
                )
            yield place

    def begin(self, run: Mapping[str, Any], fill: Callable[[Path], object]) -> None:
        """Create the folder with everything that `fill(trace folder)` writes, or not at all."""
        with self.reserve() as place:
            self.discard()
            scratch = place.folder("start")
            (scratch / "commits").mkdir()
            (scratch / "cache").mkdir()
            fill(scratch / TRACE)
            facts = {"format": RUN_FORMAT, "format_version": _VERSION, "reason": None, **run}
            _write_run(scratch, facts)
            scratch.rename(self.folder)

    def run(self) -> JsonObject:
        """Return the run as `begin` wrote it, which can be resumed.

        Raises `TraceError` where the folder holds what no run writes.
        """
        return inspect_run(self.folder)

    def stopped(self, reason: str | None) -> None:
        """Write down why the run stopped, as far as the disk allows."""
        try:
            _write_run(self.folder, _read_run(self.folder) | {"reason": reason})
        except (OSError, TraceError) as error:
            # The run is ending because of another error, which is the one to report.
            _logger.debug("the reason of an unfinished run was not written: %s", error)

    def progress(self) -> Progress:
        """Return how far the run got."""
        return read_progress(self.folder)

    def commit(self, chunk: int, tensors: Mapping[str, Tensor], facts: Mapping[str, str]) -> None:
        """Mark a chunk as finished by writing what the end of the run needs of it."""
        own = {RUN: run_digest(_read_run(self.folder)), CHUNK: str(chunk)}
        write_tensors(self._file("commits", chunk), tensors, {**facts, **own})
        self._file("commits", chunk - 1, "sweeps").unlink(missing_ok=True)

    def read_commit(self, chunk: int) -> tuple[dict[str, Tensor], dict[str, str]]:
        """Return the tensors and facts that `commit` wrote."""
        file = self._file("commits", chunk)
        return read_tensors(file), read_facts(file)

    def write_state(self, kind: str, chunk: int, tensors: Mapping[str, Tensor]) -> None:
        """Write what the next chunk needs of this one, before this one's commit.

        kind: "sweeps", of which only the last is kept, or "cache".
        """
        write_tensors(self._state_file(kind, chunk), tensors)

    def read_state(self, kind: str, chunk: int) -> dict[str, Tensor]:
        """Return the tensors that `write_state` wrote."""
        return read_tensors(self._state_file(kind, chunk))

    def has_cache(self, chunks: int) -> bool:
        """Return whether the keys and values of the first `chunks` chunks are all here."""
        return all(self._file("cache", chunk).is_file() for chunk in range(chunks))

    def finish(self) -> None:
        """Move the complete trace to its target, and delete the folder."""
        with self.reserve() as place:
            store.finish(self.trace, place, spent=self.folder, durable=not self.temporary)

    def discard(self) -> None:
        """Delete the folder; it loses its name before the first of its files is deleted."""
        if self.folder.exists():
            with self.reserve() as place:
                place.remove(self.folder)

    def _state_file(self, kind: str, chunk: int) -> Path:
        if kind == "cache":
            return self._file("cache", chunk)
        return self._file("commits", chunk, kind)

    def _file(self, folder: str, chunk: int, kind: str = "") -> Path:
        return self.folder / folder / f"{kind}{chunk:06d}.safetensors"


def read_progress(folder: Path) -> Progress:
    """Return how far the run in `folder` got. Raises `TraceError` where there is no run."""
    return _progress_of(folder, _read_run(folder))


def _progress_of(folder: Path, run: JsonObject) -> Progress:
    tokens, chunk = run.get("tokens"), run.get("chunk")
    if type(tokens) is not int or type(chunk) is not int or min(tokens, chunk) < 1:
        raise TraceError(f"{folder.name}: run.json does not say how long the run is")
    chunks = -(-tokens // chunk)
    commits = answered = 0
    for facts in commit_facts(folder, run):
        commits += 1
        if commits >= chunks:  # the last one may hold prompt and answer
            answered += len(answer_of(facts).ids)
    reason = run.get("reason")
    reason = strip_paths(" ".join(reason.split()))[:300] if isinstance(reason, str) else None
    done = min(tokens, min(commits, chunks) * chunk)
    return Progress(tokens, done, chunks, chunk, reason, commits, answered)


def inspect_run(folder: Path) -> JsonObject:
    """Return the run in a folder NAME.partial, after checking all that a run would use of it.

    Raises `TraceError` where the folder holds links, pipes or devices, where its arrays are none
    that a run makes, and where its commits cannot be read.
    """
    check_folder(folder)
    run = _read_run(folder)
    _progress_of(folder, run)
    for facts in commit_facts(folder, run):
        vocabulary_of(facts)
    try:
        inspect(folder / TRACE, TRACE_FORM, partial=True, max_cells=ANY_WORK)
    except UNREADABLE as error:
        raise TraceError(f"{folder.name}: not a readable trace ({reason_of(error)})") from error
    return run


def check_folder(folder: Path) -> None:
    """Raise `TraceError` for a folder with anything but files and folders in it."""
    try:
        list_folder(folder, _MAX_DEPTH)
    except OSError as error:
        raise TraceError(f"{folder.name}: cannot be read ({error.strerror})") from error


def read_answer(folder: Path) -> AnswerTokens:
    """Return the answer's tokens that the finished chunks name."""
    own = [answer_of(facts) for facts in commit_facts(folder, _read_run(folder))]
    return AnswerTokens(
        [i for part in own for i in part.ids], [text for part in own for text in part.texts],
        [role for part in own for role in part.roles],
    )  # fmt: skip


def read_vocabulary(folder: Path) -> dict[int, str]:
    """Return the texts of the vocabulary entries that the finished chunks name."""
    entries: dict[int, str] = {}
    for facts in commit_facts(folder, _read_run(folder)):
        entries |= vocabulary_of(facts)
    return entries


def _read_run(folder: Path) -> JsonObject:
    try:
        run = parse_json(read_regular(folder / _RUN, MAX_BYTES))
    except (OSError, BadJson) as error:
        raise TraceError(f"{folder.name}: not an unfinished run (no readable run.json)") from error
    if not isinstance(run, dict) or run.get("format") != RUN_FORMAT:
        raise TraceError(f"{folder.name}: not an unfinished attentropy run")
    if run.get("format_version") != _VERSION:
        raise TraceError(f"{folder.name}: started by another version of attentropy")
    return run


def _write_run(folder: Path, run: Mapping[str, Any]) -> None:
    write_durably(folder / _RUN, json.dumps(run, ensure_ascii=False).encode())
