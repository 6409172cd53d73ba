"""Run each piece of work in its own process: a crash or a hang takes nothing else with it."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class _Child:
    """A running process, and the time at which it is stopped."""

    name: str
    process: BaseProcess
    deadline: float


def run_isolated(
    work: Callable[[str], T], names: Iterable[str], *, jobs: int, seconds: float
) -> Iterator[tuple[str, T | str]]:
    """Yield (name, work(name)) in the order of completion; a reason where there is no result.

    The processes are forked from this one, so that what is already imported need not be imported
    again. jobs: how many run at once; seconds: how long one may take.
    """
    context = multiprocessing.get_context("fork")
    waiting = list(names)[::-1]
    running: dict[Connection, _Child] = {}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                name = waiting.pop()
                receiver, sender = context.Pipe(duplex=False)
                process = context.Process(target=_run, args=(work, name, sender), daemon=True)
                process.start()
                sender.close()
                running[receiver] = _Child(name, process, time.monotonic() + seconds)
            soonest = min(child.deadline for child in running.values())
            ready = wait(list(running), max(0.0, soonest - time.monotonic()))
            now = time.monotonic()
            late = [pipe for pipe, child in running.items() if child.deadline <= now]
            for pipe in dict.fromkeys([*ready, *late]):
                assert isinstance(pipe, Connection)
                child = running.pop(pipe)
                yield child.name, _result(pipe, child.process, seconds)
    finally:
        for child in running.values():
            child.process.kill()


def _run(work: Callable[[str], T], name: str, pipe: Connection) -> None:
    pipe.send(work(name))
    pipe.close()


def _result(pipe: Connection, process: BaseProcess, seconds: float) -> T | str:
    """Return what a process sent, or why it sent nothing; the process has ended afterwards."""
    try:
        if pipe.poll():
            result: T = pipe.recv()
            return result
        return f"not finished after {seconds:.0f} s"
    except EOFError:
        process.join()
        return f"the process exited with code {process.exitcode}"
    finally:
        process.kill()
        process.join()
        pipe.close()
