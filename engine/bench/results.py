"""A benchmark's results: what was measured, on what and how, as JSON that is checked when read."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from attentropy.engine.bench.case import CASES, Case
from attentropy.engine.errors import UsageError
from attentropy.engine.trace.checks.json_text import parse_json
from attentropy.engine.trace.checks.unreadable import UNREADABLE

MAX_BYTES = 2**24
_MOST_ROWS = 20_000  # a page draws each


@dataclass(frozen=True)
class Row:
    """One rival on one case: `seconds` at the 20, 50 and 80 % quantiles, or the reason for none.

    errors: the largest error of each number at sampled places compared with float64, None where it
    was not finite; wrong: the numbers that are outside of their bounds. flops: the work that is
    needed.
    """

    case: int
    rival: str
    group: str
    flops: float
    seconds: tuple[float, ...] = ()
    runs: int = 0
    peak_bytes: int = 0
    errors: dict[str, float | None] = field(default_factory=dict)
    wrong: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class Results:
    """Rows by case and rival; `ceilings` in bytes and floating-point operations per second."""

    what: str
    command: str
    ours: str
    machine: dict[str, str]
    ceilings: dict[str, float]
    cases: tuple[Case, ...]
    rows: tuple[Row, ...]

    def settings(self) -> dict[str, list[int]]:
        """Return the indices of each setting's cases, the sizes ascending."""
        settings: dict[str, list[int]] = {}
        for i in sorted(range(len(self.cases)), key=lambda i: self.cases[i].size):
            settings.setdefault(self.cases[i].setting, []).append(i)
        return settings

    def of(self, case: int) -> list[Row]:
        """Return the rows of one case."""
        return [row for row in self.rows if row.case == case]

    def to_json(self) -> str:
        """Write one line per case and row, four digits per number."""
        lists = {
            "cases": [asdict(case) for case in self.cases],
            "rows": [_filled(row) for row in self.rows],
        }
        parts = [
            f'"{name}": {json.dumps(_short(value), allow_nan=False)}'
            for name, value in vars(self).items()
            if name not in lists
        ]
        for name, items in lists.items():
            lines = ",\n".join(json.dumps(_short(item), allow_nan=False) for item in items)
            parts.append(f'"{name}": [\n{lines}\n]')
        return "{\n" + ",\n".join(parts) + "\n}\n"

    @classmethod
    def from_json(cls, text: str, name: str) -> Results:
        """Read what `to_json` wrote. Raises `UsageError`, which names the file `name`."""
        try:
            content = parse_json(text, max_bytes=MAX_BYTES)
            kind = CASES[content["what"]]
            cases = tuple(_checked(kind, case) for case in content["cases"])
            rows = tuple(_checked(Row, row) for row in content["rows"])
            ceilings = {_text(k): _positive(v) for k, v in content["ceilings"].items()}
            if max(len(cases), len(rows)) > _MOST_ROWS:
                raise ValueError("more rows than a benchmark measures")
            if not cases or "flops_per_second" not in ceilings:
                raise ValueError("nothing to compare")
            if not all(row.case < len(cases) and (row.seconds or row.reason) for row in rows):
                raise ValueError("a row without its case, or without a result")
            what, command, ours = (_text(content[key]) for key in ("what", "command", "ours"))
            machine = {_text(k): _text(v) for k, v in content["machine"].items()}
            return cls(what, command, ours, machine, ceilings, cases, rows)
        except UNREADABLE as error:
            raise UsageError(
                f"{name!r} does not contain results of attentropy bench --json"
            ) from error


def _filled(row: Row) -> dict[str, Any]:
    """Return a row's fields without those that are empty."""
    return {k: v for k, v in asdict(row).items() if v or k == "case"}


def _short(value: Any) -> Any:
    """Round every number to four digits."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {key: _short(item) for key, item in value.items()}
    return [_short(item) for item in value] if isinstance(value, list | tuple) else value


def _checked(kind: type, content: dict[str, Any]) -> Any:
    """Build a dataclass from a file's content, each value checked by its field's reader."""
    if unknown := set(content) - {f.name for f in fields(kind)}:
        raise ValueError(f"unknown {unknown}")
    return kind(**{name: _READERS[name](value) for name, value in content.items()})


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > 2000:
        raise TypeError("not a text")
    return value


def _positive(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e300:
        raise TypeError("not a positive number")
    return float(value)


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**62:
        raise TypeError("not a count")
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError("not a flag")
    return value


def _quantiles(value: Any) -> tuple[float, ...]:
    if len(value) not in (0, 3):
        raise ValueError("not three quantiles")
    return tuple(_positive(v) for v in value)


def _errors(value: Any) -> dict[str, float | None]:
    return {
        _text(k): None if v is None else 0.0 if v == 0 else _positive(v) for k, v in value.items()
    }


_READERS: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("rival", "group", "reason", "dtype", "device"), _text),
    **dict.fromkeys(("case", "runs", "peak_bytes", "length", "heads", "key_heads"), _count),
    **dict.fromkeys(("head_size", "rows", "width", "vocabulary"), _count),
    "flops": _positive,
    "causal": _flag,
    "seconds": _quantiles,
    "errors": _errors,
    "wrong": lambda value: tuple(_text(v) for v in value),
}
