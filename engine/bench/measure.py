"""One rival in one process, over all its cases: right first, then timed.

python -m attentropy.engine.bench.measure reads one line of JSON, prints one a case: the times of
single runs in seconds, the peak of memory beyond the inputs in bytes, and the errors.
"""

from __future__ import annotations

import gc
import json
import math
import os
import sys
import time
from collections.abc import Iterator
from typing import Any

import torch

from attentropy.engine.bench import attention, attention_rivals, vocabulary, vocabulary_rivals
from attentropy.engine.bench.case import CASES, Case
from attentropy.engine.bench.rival import Rival
from attentropy.engine.measure.clocks import peak_bytes
from attentropy.engine.measure.sampling import seconds

RIVALS: dict[str, dict[str, Rival]] = {
    "attention": attention_rivals.RIVALS,
    "vocabulary": vocabulary_rivals.RIVALS,
}
OURS = {"attention": attention_rivals.OURS, "vocabulary": vocabulary_rivals.OURS}
_TRUTH: dict[str, Any] = {"attention": attention, "vocabulary": vocabulary}
NO_TIME = "no time was left"


def measure(name: str, case: Case, budget: float) -> dict[str, Any]:
    """What is printed of a case; ours is not timed where it is wrong."""
    truth, rival = _TRUTH[case.what], RIVALS[case.what][name]
    if reason := rival.absent(case.device):
        return {"reason": reason}
    with torch.inference_mode():
        given = truth.inputs(case)
        run = rival.prepare(*given, case)
        gc.collect()
        before = peak_bytes(case.device, reset=True)
        found = run()
        peak = peak_bytes(case.device) - before
        judged = truth.errors(case, given, found)
        del found
        errors = {name: value if math.isfinite(value) else None for name, (value, _) in
                  judged.items()}  # fmt: skip
        wrong = [name for name, (_, right) in judged.items() if not right]
        told = {"errors": errors, "wrong": wrong, "peak_bytes": max(0, peak)}
        if wrong and rival.group in ("ours", "second"):
            return told | {"reason": f"wrong: {wrong[0]} is off by {judged[wrong[0]][0]:.2g}"}
        return told | {"times": seconds(run, case.device, budget)}


def answers(asked: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """One for each case; whatever stops a rival is its result. Ends early with a broken device."""
    for given in asked["cases"]:
        case = CASES[asked["what"]](**given)
        if time.time() > asked["until"]:
            yield {"reason": NO_TIME}
            continue
        try:
            yield measure(asked["rival"], case, asked["seconds"])
        except Exception as error:
            words = " ".join(f"{type(error).__name__}: {error}".split())
            yield {"reason": words[:160]}
            if isinstance(error, torch.AcceleratorError):
                return
        if case.device == "cuda":
            torch.compiler.reset()  # each size has its own kernel, however many came before
            gc.collect()
            torch.cuda.empty_cache()


def main() -> None:
    """Answers the line on standard input, if one comes; exit code 1 if not for every case."""
    line = sys.stdin.readline()
    if not line:
        return
    # Only results go to standard output: what libraries print there goes to standard error.
    told = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    asked, count = json.loads(line), 0
    for answer in answers(asked):
        print(json.dumps(answer), file=told, flush=True)
        count += 1
    sys.exit(int(count < len(asked["cases"])))


if __name__ == "__main__":
    main()
