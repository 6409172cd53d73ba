"""A verdict on one finding, and the comparison of what is written with what is so."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from real.evidence import Evidence

Finding = dict[str, Any]
NUMBER = r"([\d,]*\.?\d+)"
QUOTE = re.compile(r"“([^”]*)”")
HEAD = r"L(\d+)H(\d+)"


@dataclass(frozen=True)
class Verdict:
    """What the judge says of a finding; `why` has its own numbers."""

    finding: Finding
    is_true: bool | None
    why: str

    def __str__(self) -> str:
        word = {True: "true", False: "FALSE", None: "not judged"}[self.is_true]
        return f"{word:10} {self.finding['id']:12} {self.why}\n{'':10} {self.finding['text']}"


Check = Callable[[Finding, Evidence], Verdict | None]


class Mistakes:
    """What a sentence says that is not so; without any it is true."""

    def __init__(self) -> None:
        self.all: list[str] = []
        self.numbers: list[str] = []

    def number(self, name: str, written: str, own: float, scale: float = 1.0) -> None:
        """Check a written number against `own`, within its last digit."""
        text = written.replace(",", "")
        unit = 10.0 ** -len(text.partition(".")[2]) * scale
        value = float(text) * scale
        self.numbers.append(f"{name} {own:.4g}")
        if not abs(value - own) <= 0.51 * unit + 2e-3 * abs(own):
            self.all.append(f"{name} is {own:.4g}, not {value:.4g}")

    def share(self, name: str, written: str, own: float) -> None:
        """Check a share in percent, such as `48 %`, `< 0.1 %` or `less than 0.1 %`."""
        if match := re.search(rf"(?:<|less than) ?{NUMBER}", written):
            self.claim(own < float(match[1]) / 100, f"{name} is {own:.2g}")
        elif match := re.search(NUMBER, written):
            self.number(name, match[1], own, 0.01)

    def claim(self, is_so: bool, otherwise: str) -> None:
        """Check a claim in words; `otherwise` is what is so instead."""
        if not is_so:
            self.all.append(otherwise)

    def verdict(self, finding: Finding) -> Verdict:
        """Return the verdict that follows."""
        return Verdict(finding, not self.all, "; ".join(self.all or self.numbers) or "as measured")


def bare(text: str) -> str:
    """Return the text of a quoted token without the marks of blanks and of direction."""
    return text.strip("\u2066\u2067\u2068\u2069").lstrip("_").strip("…")


def layers_in(text: str) -> list[int]:
    """Return the layers that words such as `layers 3–10, 12 and 14–16` name."""
    layers: list[int] = []
    for first, last in re.findall(r"(\d+)(?:–(\d+))?", text):
        layers += range(int(first), int(last or first) + 1)
    return layers
