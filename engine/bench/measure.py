"""Measure one rival in one process, over all its cases: first whether it is right, then its time.

python -m attentropy.engine.bench.measure reads one line of JSON and prints one per case: the times
of single runs in seconds, the peak of memory beyond the inputs in bytes, and the errors.
"""

from __future__ import annotations

import gc
import json
import logging
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypedDict

import torch
from torch import Tensor

from attentropy.engine.bench import attention, attention_rivals, vocabulary, vocabulary_rivals
from attentropy.engine.bench.case import CASES, Case
from attentropy.engine.bench.rival import Judgement, Numbers, Rival
from attentropy.engine.measure.clocks import peak_bytes
from attentropy.engine.measure.sampling import time_runs

RIVALS: dict[str, dict[str, Rival]] = {
    "attention": attention_rivals.RIVALS,
    "vocabulary": vocabulary_rivals.RIVALS,
}
OURS = {"attention": attention_rivals.OURS, "vocabulary": vocabulary_rivals.OURS}
NO_TIME = "time limit reached"

_log = logging.getLogger(__name__)


class Request(TypedDict):
    """What a measuring process reads.

    what: "attention" or "vocabulary". cases: the fields of each. seconds: of timing each case.
    until: the clock's reading after which no case starts.
    """

    what: str
    rival: str
    seconds: float
    until: float
    cases: list[dict[str, Any]]


class Answer(TypedDict, total=False):
    """What it prints per case: times, or the reason why there are none.

    errors: None where one is not finite. wrong: the numbers that are outside of their bounds.
    """

    times: list[float]
    errors: dict[str, float | None]
    wrong: list[str]
    peak_bytes: int
    reason: str


@dataclass(frozen=True)
class _CaseKind:
    """How to draw a case's inputs, and how to judge the numbers computed from them."""

    inputs: Callable[..., tuple[Tensor, ...]]
    errors: Callable[[Any, tuple[Tensor, ...], Numbers], dict[str, Judgement]]


_TRUTH = {
    "attention": _CaseKind(attention.inputs, attention.errors),
    "vocabulary": _CaseKind(vocabulary.inputs, vocabulary.errors),
}


def measure(name: str, case: Case, budget: float) -> Answer:
    """Return what is printed for a case; our own operations are not timed where they are wrong.

    budget: seconds of timing.
    """
    truth, rival = _TRUTH[case.what], RIVALS[case.what][name]
    if reason := rival.why_absent(case.device):
        return {"reason": reason}
    with torch.inference_mode():
        tensors = truth.inputs(case)
        run = rival.prepare(*tensors, case)
        gc.collect()
        before = peak_bytes(case.device, reset=True)
        numbers = run()
        peak = peak_bytes(case.device) - before
        judgements = truth.errors(case, tensors, numbers)
        del numbers
        errors = {
            number: judgement.error if math.isfinite(judgement.error) else None
            for number, judgement in judgements.items()
        }
        wrong = [number for number, judgement in judgements.items() if not judgement.is_right]
        answer: Answer = {"errors": errors, "wrong": wrong, "peak_bytes": max(0, peak)}
        if wrong and rival.group in ("ours", "second"):
            error = judgements[wrong[0]].error
            return {**answer, "reason": f"wrong: {wrong[0]} is off by {error:.2g}"}
        return {**answer, "times": time_runs(run, case.device, budget)}


def answers(request: Request) -> Iterator[Answer]:
    """Yield one answer per case; ends early if the device breaks."""
    for shape in request["cases"]:
        case = CASES[request["what"]](**shape)
        if time.time() > request["until"]:
            yield {"reason": NO_TIME}
            continue
        try:
            yield measure(request["rival"], case, request["seconds"])
        # A rival is somebody else's code: whatever stops it, of any type, is its result.
        except Exception as error:
            _log.info("%s: %s failed", case.setting, request["rival"], exc_info=error)
            words = " ".join(f"{type(error).__name__}: {error}".split())
            yield {"reason": words[:160]}
            if isinstance(error, torch.AcceleratorError):
                return
        if case.device == "cuda":
            torch.compiler.reset()  # each size has its own kernel, however many came before
            gc.collect()
            torch.cuda.empty_cache()


def main() -> None:
    """Answer the line on standard input, if one comes; exit code 1 if a case has no answer."""
    line = sys.stdin.readline()
    if not line:
        return
    # Only results go to standard output: what libraries print there goes to standard error.
    results = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    request: Request = json.loads(line)
    count = 0
    for answer in answers(request):
        print(json.dumps(answer), file=results, flush=True)
        count += 1
    sys.exit(int(count < len(request["cases"])))


if __name__ == "__main__":
    main()
