"""The limit of processor time (`ulimit -t`): the system ends a process there without a word."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from attentropy.engine.failures import TimeUp, limit_of

_SPARE = 2.0  # seconds before the limit, to end in words and to keep results
_SHARE = 0.25  # of what is left, where that is little


@contextmanager
def ends_in_words() -> Iterator[None]:
    """Raise `TimeUp` some time before the processor time is used up, where it is limited."""
    limit = limit_of("RLIMIT_CPU")
    if limit is None:
        yield
        return
    left = max(0.1, limit - time.process_time())
    try:
        before = signal.signal(signal.SIGPROF, _raise)
    except ValueError:  # not the main thread
        yield
        return
    signal.setitimer(signal.ITIMER_PROF, max(0.1, left - min(_SPARE, _SHARE * left)))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def _raise(number: int, frame: FrameType | None) -> None:
    raise TimeUp
