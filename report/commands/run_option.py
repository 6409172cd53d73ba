"""One option of a run, as the commands that have it declare it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class RunOption:
    """One option of a run.

    `attributes` are further arguments of `click.option`. A default in words is a part of `help`.
    """

    flags: tuple[str, ...]
    help: str
    attributes: Mapping[str, Any] = field(default_factory=dict)
    default: Any = None

    def decorate(self, function: F) -> F:
        """Add the option to a command that runs a model."""
        attributes = dict(self.attributes)
        if self.default is not None:
            attributes |= {"default": self.default, "show_default": True}
        return click.option(*self.flags, help=self.help, **attributes)(function)

    def decorate_info(self, function: F) -> F:
        """Add the option to `info`, where its value is None unless it is given."""
        shown = "" if self.default is None else f"  [default: {self.default}]"
        attributes = {**self.attributes, "default": None}
        return click.option(*self.flags, help=f"{self.help}{shown}", **attributes)(function)
