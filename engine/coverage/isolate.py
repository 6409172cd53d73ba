"""Each piece of work in a process of its own: a crash or a hang takes nothing else with it."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection, wait
from typing import Any


def isolated(
    work: Callable[[str], Any], names: Iterable[str], *, jobs: int, seconds: float
) -> Iterator[tuple[str, Any]]:
    """(name, work(name)) in the order of completion; a string that says why where it has no result.

    Forked from this process, so that what is already imported need not be again; `seconds` is the
    time that one may take.
    """
    context = multiprocessing.get_context("fork")
    waiting = list(names)[::-1]
    running: dict[Connection, tuple[str, Any, float]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                name = waiting.pop()
                ours, theirs = context.Pipe(duplex=False)
                process = context.Process(target=_run, args=(work, name, theirs), daemon=True)
                process.start()
                theirs.close()
                running[ours] = (name, process, time.monotonic() + seconds)
            soonest = min(deadline for _, _, deadline in running.values())
            ready = wait(list(running), max(0.0, soonest - time.monotonic()))
            late = [pipe for pipe, (_, _, end) in running.items() if end <= time.monotonic()]
            for pipe in dict.fromkeys([*ready, *late]):
                assert isinstance(pipe, Connection)
                name, process, _ = running.pop(pipe)
                yield name, _result(pipe, process, seconds)
    finally:
        for _, process, _ in running.values():
            process.kill()


def _run(work: Callable[[str], Any], name: str, pipe: Connection) -> None:
    pipe.send(work(name))
    pipe.close()


def _result(pipe: Connection, process: Any, seconds: float) -> Any:
    try:
        if pipe.poll():
            return pipe.recv()
        return f"not done after {seconds:.0f} s"
    except EOFError:
        process.join()
        return f"the process ended with exit code {process.exitcode}"
    finally:
        process.kill()
        process.join()
        pipe.close()
