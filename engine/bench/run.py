"""Run all rivals over all cases, each in a process of its own, round after round."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from statistics import quantiles
from time import time as clock

from attentropy.engine.bench.case import Case
from attentropy.engine.bench.measure import NO_TIME, RIVALS, Answer, Request
from attentropy.engine.bench.results import Row

# Called with the rival and the case that are measured next.
Progress = Callable[[str, Case], None]

# What one process answered: one entry per case, in order.
Answers = list[Answer]


@dataclass(frozen=True)
class _Time:
    """Seconds for each case, and the clock's reading after which no case starts."""

    seconds: float
    until: float


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

    def ask(self, rival: str, cases: Sequence[Case], time: _Time, progress: Progress) -> Answers:
        """Collect one answer per case until the process ends."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        request: Request = {
            "what": cases[0].what,
            "rival": rival,
            "seconds": time.seconds,
            "until": time.until,
            "cases": [asdict(case) for case in cases],
        }
        answers: Answers = []
        with suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        while len(answers) < len(cases):
            progress(rival, cases[len(answers)])
            line = self._process.stdout.readline()
            if not line:
                break
            answers.append(json.loads(line))
        return answers

    def end(self) -> int:
        """Close the process's input, wait for it, and return its exit code."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        code = self._process.wait()
        self._process.stdout.close()
        return code

    def kill(self) -> None:
        """Stop the process at once."""
        self._process.kill()
        self.end()


def run(
    names: Sequence[str],
    cases: Sequence[Case],
    *,
    seconds: float,
    rounds: int,
    limit: float,
    tell: Progress,
) -> tuple[Row, ...]:
    """Return a row for each case and rival; `seconds` of timing each, `rounds` times over.

    After `limit` seconds no further case starts; those left say so, or keep earlier rounds.
    On a GPU the next process is started early, so that its imports cost no time; on a CPU they
    would disturb the one that measures.
    """
    rivals, device = RIVALS[cases[0].what], cases[0].device
    reasons = {name: rivals[name].why_absent(device) for name in names}
    answers: dict[str, list[Answers]] = {
        name: [[{"reason": reason}] * len(cases)] if reason is not None else []
        for name, reason in reasons.items()
    }
    present = [name for name in names if reasons[name] is None]
    time = _Time(seconds, clock() + limit)
    plan = present * rounds
    waiting = _Process() if plan else None
    try:
        for i, name in enumerate(plan):
            # The first round is asked even when time is up: each rival then says that it was.
            if i >= len(present) and clock() > time.until:
                break
            process, waiting = waiting or _Process(), None
            if device == "cuda" and i + 1 < len(plan):
                waiting = _Process()
            answers[name].append(_collect_answers(process, name, cases, time, tell))
    finally:
        if waiting is not None:
            waiting.kill()
    return tuple(
        _row(i, name, rivals[name].group, rivals[name].work * case.flops,
             [answered[i] for answered in answers[name]])
        for i, case in enumerate(cases)
        for name in names
    )  # fmt: skip


def _collect_answers(
    process: _Process, name: str, cases: Sequence[Case], time: _Time, progress: Progress
) -> Answers:
    """Return one answer per case.

    Where a process dies, the case that it measured gets the reason, and another process continues.
    """
    answers: Answers = []
    while True:
        try:
            answered = process.ask(name, cases[len(answers) :], time, progress)
        except BaseException:
            process.kill()
            raise
        code = process.end()
        answers += answered
        # `measure.main` ends so where the device broke; its last answer says why.
        has_reason = bool(answered) and code == 1
        if len(answers) < len(cases) and not has_reason:
            answers.append({"reason": f"its process exited with code {code}"})
        if len(answers) == len(cases):
            return answers
        process = _Process()


def _row(case: int, rival: str, group: str, flops: float, rounds: Answers) -> Row:
    """Return the rounds as one row: times pooled, the worst of memory and errors."""
    rounds = [answer for answer in rounds if answer.get("reason") != NO_TIME] or rounds
    reasons = [answer["reason"] for answer in rounds if "reason" in answer]
    wrong = tuple(dict.fromkeys(name for answer in rounds for name in answer.get("wrong", ())))
    peak = max(answer.get("peak_bytes", 0) for answer in rounds)
    errors = _worst_errors(rounds)
    if reasons:
        return Row(
            case, rival, group, flops, peak_bytes=peak, errors=errors, wrong=wrong,
            reason=reasons[0],
        )  # fmt: skip
    times = [value for answer in rounds for value in answer["times"]]
    tenths = quantiles(times, n=10, method="inclusive")
    middle = (tenths[1], tenths[4], tenths[7])
    return Row(case, rival, group, flops, middle, len(times), peak, errors, wrong)


def _worst_errors(rounds: Answers) -> dict[str, float | None]:
    """Return the largest error of each number, None where one was not finite."""
    errors: dict[str, float | None] = {}
    for answer in rounds:
        for name, value in answer.get("errors", {}).items():
            worst = errors.get(name, 0.0)
            errors[name] = None if value is None or worst is None else max(value, worst)
    return errors
