"""One rival in one process: right first, then timed. python -m attentropy.engine.bench.measure JSON

Prints one JSON line: seconds at the 20, 50 and 80 % quantiles, the peak of memory beyond the
inputs, and the largest error of the sampled entropies beside what is allowed.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from attentropy.engine.bench.case import Case
from attentropy.engine.bench.rivals import OURS, RIVALS

_SECONDS = 2.0  # spent on timing a rival, at least five runs
_RUNS = (5, 200)
_STATUS = Path("/proc/self/status")


def seconds(run: Callable[[], object], device: str) -> list[float]:
    """Times of single runs after a warm-up; on a GPU between events, its level-2 cache cold."""
    run()
    run()
    times: list[float] = []
    cache = torch.empty(64 * 2**20, dtype=torch.int32, device=device) if device == "cuda" else None
    begin = time.perf_counter()
    while len(times) < _RUNS[0] or (
        len(times) < _RUNS[1] and time.perf_counter() - begin < _SECONDS
    ):
        if cache is None:
            start = time.perf_counter()
            run()
            times.append(time.perf_counter() - start)
            continue
        cache.zero_()
        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        first.record()
        run()
        last.record()
        torch.cuda.synchronize()
        times.append(first.elapsed_time(last) / 1e3)
    return times


def measure(rival: str, case: Case) -> dict[str, Any]:
    """What the module prints; ours is not timed where it is wrong."""
    with torch.inference_mode():
        q, k, v = case.inputs()
        run = RIVALS[rival](q, k, v, case)
        before = _peak(case.device, reset=True)
        entropy = run()
        peak = _peak(case.device) - before
        found: dict[str, Any] = {"rival": rival, "peak_bytes": max(0, peak)}
        if entropy is not None:
            wanted, allowed = case.true_entropies(q, k)
            got = torch.stack([entropy[0, h, i] for h, i in case.rows()]).double().cpu()
            found["error"] = float((got - wanted).abs().max())
            found["allowed"] = float(allowed.max())
            found["right"] = bool(((got - wanted).abs() <= allowed).all())
            if rival.startswith(OURS.split(",")[0]) and not found["right"]:
                return found | {"reason": f"entropy is off by {found['error']:.2g} nats"}
        times = torch.tensor(seconds(run, case.device), dtype=torch.float64)
        quantiles = times.quantile(torch.tensor([0.2, 0.5, 0.8], dtype=torch.float64))
        return found | {"seconds": quantiles.tolist(), "runs": len(times)}


def _peak(device: str, *, reset: bool = False) -> int:
    if device == "cuda":
        if reset:
            torch.cuda.reset_peak_memory_stats()
        return torch.cuda.max_memory_allocated()
    if not _STATUS.exists():  # not Linux: the peak so far, which cannot be set back
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    peak = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM"))
    return int(peak.split()[1]) * 1024


def main() -> None:
    """Reads the rival's name and the case from the command line."""
    given = json.loads(sys.argv[1])
    rival = given.pop("rival")
    try:
        found = measure(rival, Case(**given))
    except Exception as error:  # whatever stops a rival is its result
        words = " ".join(f"{type(error).__name__}: {error}".split())
        found = {"rival": rival, "reason": words[:160]}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
