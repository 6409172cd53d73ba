"""What is computed from a trace is computed once, since the values of a trace do not change."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TypeVar, TypeVarTuple
from weakref import WeakKeyDictionary

Subject = TypeVar("Subject")
Arguments = TypeVarTuple("Arguments")
Result = TypeVar("Result")


def once_per_trace(
    compute: Callable[[Subject, *Arguments], Result],
) -> Callable[[Subject, *Arguments], Result]:
    """Decorate a function of a trace, so that it is called once per trace and other arguments.

    Results are kept by the object: a trace that is made from another, such as a redacted one, has
    its own. They go with their trace. Nobody may change them, or the trace's values.
    """
    results: WeakKeyDictionary[Subject, dict[tuple[object, ...], Result]] = WeakKeyDictionary()

    @wraps(compute)
    def once(trace: Subject, *arguments: *Arguments) -> Result:
        own = results.setdefault(trace, {})
        if arguments not in own:
            own[arguments] = compute(trace, *arguments)
        return own[arguments]

    return once
