"""Whether a run tests the sources of its answer, and how: its options in one form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from attentropy.engine.arguments import either, read_choice, read_number, refuse
from attentropy.engine.errors import UsageError
from attentropy.engine.trace.sources import LEVEL_CHOICES, METHODS

_ALONE = ("target", "versus", "budget")  # what means nothing without the tests


@dataclass(frozen=True)
class SourceRequest:
    """How the sources of an answer are tested.

    level: what is hidden at the finest, None for no tests. is_asked: somebody asked for the tests,
    so that what prevents them is an error. segments: the parts of the prompt that are tested, where
    the caller gave them. target, versus: texts, None without. budget: seconds, None for no limit.
    """

    level: str | None = "auto"
    is_asked: bool = False
    segments: Mapping[str, Any] | None = None
    target: str | None = None
    versus: str | None = None
    how: str = "hide"
    budget: float | None = None

    def facts(self) -> dict[str, Any]:
        """Return what a trace's options say of it; texts of the answer are no part of them."""
        if not self.is_asked:
            return {"test_sources": "default"}
        how = {} if self.level is None else {"how": self.how}
        return {"test_sources": self.level or "none", **how}


def read_request(
    test_sources: Any, target: Any, versus: Any, how: Any, budget: Any
) -> SourceRequest:
    """Return the arguments of `extract` in one form. Raises `UsageError`."""
    how = read_choice("hide" if how is None else how, "how", METHODS)
    values = {"target": target, "versus": versus, "budget": budget}
    others = [name for name in _ALONE if values[name] is not None]
    if how != "hide":
        others.append("how")
    level, segments = _level(test_sources)
    if level is None and others:
        raise UsageError(f"`{others[0]}` belongs to the tests; leave out `test_sources`")
    for name in ("target", "versus"):
        if values[name] is not None and not (
            isinstance(values[name], str) and values[name].strip()
        ):
            raise refuse(name, "a text", values[name])
    if budget is not None:
        budget = read_number(budget, "budget", "a number of seconds above 0", 0, is_open=True)
    is_asked = test_sources is not None or bool(others)
    return SourceRequest(level, is_asked, segments, target, versus, how, budget)


def _level(value: Any) -> tuple[str | None, Mapping[str, Any] | None]:
    """Return the level, None for no tests, and the segments that are tested."""
    if value is None or value is True:
        return "auto", None
    if value is False or value == "none":
        return None, None
    if isinstance(value, Mapping):
        return "segment", value
    if not isinstance(value, str) or value not in LEVEL_CHOICES:
        levels = either((*LEVEL_CHOICES, "none"))
        raise refuse("test_sources", f"{levels}, or names for parts of the prompt", value)
    return value, None
