"""All rivals over all cases, each in a process of its own, round after round."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from statistics import quantiles
from time import time as clock
from typing import Any

from attentropy.engine.bench.case import Case
from attentropy.engine.bench.measure import NO_TIME, RIVALS
from attentropy.engine.bench.results import Row

Answers = list[dict[str, Any]]


class _Process:
    """A measuring process: it imports at once, and measures when it is asked."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "attentropy.engine.bench.measure"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def ask(self, rival: str, cases: Sequence[Case], time: _Time, tell: _Tell) -> Answers:
        """An answer for each case until the process ends."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        asked = {
            "what": cases[0].what, "rival": rival, **asdict(time),
            "cases": [asdict(case) for case in cases],
        }  # fmt: skip
        answers: Answers = []
        with suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(asked) + "\n")
            self._process.stdin.flush()
        while len(answers) < len(cases):
            tell(rival, cases[len(answers)])
            line = self._process.stdout.readline()
            if not line:
                break
            answers.append(json.loads(line))
        return answers

    def end(self) -> int:
        """Let it go; its exit code."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        code = self._process.wait()
        self._process.stdout.close()
        return code

    def kill(self) -> None:
        self._process.kill()
        self.end()


_Tell = Callable[[str, Case], None]


@dataclass(frozen=True)
class _Time:
    """Seconds for each case, and the clock's reading after which no case begins."""

    seconds: float
    until: float


def run(
    names: Sequence[str],
    cases: Sequence[Case],
    *,
    seconds: float,
    rounds: int,
    limit: float,
    tell: _Tell,
) -> tuple[Row, ...]:
    """A row for each case and rival; `seconds` of timing each, `rounds` times over.

    After `limit` seconds no case begins any more; those left say so, or keep earlier rounds.
    On a GPU the next process is started early, so that its imports cost no time; on a CPU they
    would disturb the one that measures.
    """
    rivals, device = RIVALS[cases[0].what], cases[0].device
    present = [name for name in names if rivals[name].absent(device) is None]
    answers: dict[str, list[Answers]] = {
        name: [[{"reason": rivals[name].absent(device)}] * len(cases)] for name in names
    }
    time = _Time(seconds, clock() + limit)
    plan = present * rounds
    waiting = _Process() if plan else None
    try:
        for i, name in enumerate(plan):
            if i >= len(present) and clock() > time.until:
                break
            process, waiting = waiting or _Process(), None
            if device == "cuda" and i + 1 < len(plan):
                waiting = _Process()
            if i < len(present):
                answers[name] = []
            answers[name].append(_answers(process, name, cases, time, tell))
    finally:
        if waiting is not None:
            waiting.kill()
    return tuple(
        _row(i, name, rivals[name].group, rivals[name].work * case.flops,
             [told[i] for told in answers[name]])
        for i, case in enumerate(cases)
        for name in names
    )  # fmt: skip


def _answers(
    process: _Process, name: str, cases: Sequence[Case], time: _Time, tell: _Tell
) -> Answers:
    """One for each case: where a process dies, that case has its reason and another goes on."""
    found: Answers = []
    while True:
        try:
            told = process.ask(name, cases[len(found) :], time, tell)
        except BaseException:
            process.kill()
            raise
        code = process.end()
        found += told
        told_why = bool(told) and code == 1  # as `measure.main` ends where the device broke
        if len(found) < len(cases) and not told_why:
            found.append({"reason": f"its process ended with code {code}"})
        if len(found) == len(cases):
            return found
        process = _Process()


def _row(case: int, rival: str, group: str, flops: float, rounds: Answers) -> Row:
    """The rounds as one: times pooled, the worst of memory and errors."""
    rounds = [told for told in rounds if told.get("reason") != NO_TIME] or rounds
    reasons = [told["reason"] for told in rounds if "reason" in told]
    errors: dict[str, float | None] = {}
    for told in rounds:
        for name, value in told.get("errors", {}).items():
            known = errors.get(name, 0.0)
            errors[name] = None if value is None or known is None else max(value, known)
    wrong = tuple(dict.fromkeys(name for told in rounds for name in told.get("wrong", ())))
    peak = max(told.get("peak_bytes", 0) for told in rounds)
    if reasons:
        return Row(
            case, rival, group, flops, peak_bytes=peak, errors=errors, wrong=wrong,
            reason=reasons[0],
        )  # fmt: skip
    times = [value for told in rounds for value in told["times"]]
    tenths = quantiles(times, n=10, method="inclusive")
    middle = (tenths[1], tenths[4], tenths[7])
    return Row(case, rival, group, flops, middle, len(times), peak, errors, wrong)
