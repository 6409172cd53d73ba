"""Which variant of the Hopper kernel is right, how fast it is, and what limits it: run.sh.

Needs a GPU of compute capability 9.0. In order, as far as the time goes: every kernel is compiled
by processes side by side; every variant is compared with the float64 reference; all are timed in
turns, with clock and power; the profiler `ncu`, where there is one, counts stall reasons; the second
sweep and the vocabulary's kernel are timed. Results go to FOLDER/measure.json and to the terminal.
"""

from __future__ import annotations

import csv
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import torch
import triton
from torch.nn.attention import SDPBackend, sdpa_kernel
import dry
import others
import variants
from variants import (
    DEFAULT,
    ENTROPY,
    EVERY,
    JOBS,
    inputs,
    launch,
)

from attentropy import attention

Run = Callable[[], object]
CASES = [  # batch, heads, key heads, queries, keys, kind, causal
    (2, 4, 2, 1000, 1000, "normal", True),
    (1, 4, 1, 4096, 4096, "normal", True),
    (1, 2, 2, 700, 5000, "normal", True),
    (1, 2, 2, 640, 1111, "normal", False),
    *((1, 2, 1, 4096, 4096, kind, True) for kind in ("peaky", "offset", "sink", "ramp")),
    (1, 2, 1, 1024, 1024, "nan", True),
]
CHECKED = [  # variant, statistics
    ("lazy", ENTROPY),
    ("lazy", DEFAULT),
    ("tree_maximum", ENTROPY),
    ("late_wait", ENTROPY),
    ("base", ENTROPY),
    ("lazy", EVERY),
]
NCU = "SpeedOfLight WarpStateStats SchedulerStats ComputeWorkloadAnalysis InstructionStats"
PROFILED = """
import sys
sys.path.insert(0, {folder!r})
from variants import ENTROPY, inputs, launch
for dim in (64, 128):
    q, k, v = inputs(1, 16, 2, 8192, 8192, dim)
    for name in ("base", "lazy"):
        for stats in ((), ENTROPY):
            launch(name, q, k, v, stats)
"""


class Session:
    """One run: its time, its results, and the clock and power of the GPU meanwhile."""

    def __init__(self, folder: Path, seconds: float) -> None:
        self.folder, self.begin, self.seconds = folder, time.time(), seconds
        self.results: dict[str, list] = {"correct": [], "times": [], "notes": []}
        self.samples: list[tuple[float, float, float]] = []  # time, MHz, W
        query = ["--query-gpu=clocks.sm,power.draw", "--format=csv,noheader,nounits", "-lms", "50"]
        self.monitor = subprocess.Popen(["nvidia-smi", *query], stdout=subprocess.PIPE, text=True)
        threading.Thread(target=self._sample, daemon=True).start()

    def left(self) -> float:
        """Return the seconds that are left."""
        return self.seconds - (time.time() - self.begin)

    def add(self, table: str, *row: object) -> None:
        """Store a row, and print it."""
        self.results[table].append(row)
        print(table, *row, flush=True)
        versions = {"device": torch.cuda.get_device_name(), "triton": triton.__version__}
        versions["torch"] = torch.__version__
        (self.folder / "measure.json").write_text(json.dumps(versions | self.results, indent=1))

    def time(self, runs: dict[str, Run], seconds: float) -> dict[str, tuple[float, int, int]]:
        """Return median milliseconds, mean MHz and mean W of each, measured in turns."""
        working = {}
        for name, run in runs.items():
            try:
                run()
                torch.cuda.synchronize()
                working[name] = run
            except Exception as error:
                self.add("notes", f"{name}: {error!r}"[:300])
        times: dict[str, list[float]] = {name: [] for name in working}
        spans: dict[str, list[tuple[float, float]]] = {name: [] for name in working}
        end, rounds = time.time() + seconds * len(working), 0
        while time.time() < end or rounds < 3:
            rounds += 1
            for name, run in working.items():
                start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
                first = time.time()
                start.record()
                for _ in range(3):
                    run()
                stop.record()
                torch.cuda.synchronize()
                times[name].append(start.elapsed_time(stop) / 3)
                spans[name].append((first, time.time()))
        return {n: (statistics.median(t), *self._during(spans[n])) for n, t in times.items()}

    def _sample(self) -> None:
        assert self.monitor.stdout is not None
        for line in self.monitor.stdout:
            try:
                clock, power = map(float, line.split(","))
            except ValueError:
                continue
            self.samples.append((time.time(), clock, power))

    def _during(self, spans: list[tuple[float, float]]) -> tuple[int, int]:
        inside = [s for s in self.samples if any(a <= s[0] <= b for a, b in spans)]
        if not inside:
            return 0, 0
        return tuple(round(statistics.mean(s[i] for s in inside)) for i in (1, 2))


def compile_all(session: Session) -> None:
    """Compile every kernel into Triton's cache, by as many processes as there are processors."""
    waiting, running = list(range(len(JOBS))), []
    while (waiting or running) and time.time() - session.begin < 110:
        running = [process for process in running if process.poll() is None]
        while waiting and len(running) < min(14, os.cpu_count() or 2):
            command = [sys.executable, __file__, str(session.folder), "--job", str(waiting.pop(0))]
            command += ["--dry-run"] * ("--dry-run" in sys.argv)
            running.append(subprocess.Popen(command, stdout=subprocess.DEVNULL))
        time.sleep(0.2)
    for process in running:
        process.kill()


def check(session: Session) -> None:
    """Compare every variant with the float64 reference at some rows."""
    for name, stats in CHECKED:
        for dim in (64, 128):
            for *shape, kind, causal in CASES:
                if not causal and name not in ("base", "lazy"):
                    continue
                if session.left() < session.seconds * 0.62 * variants.SHARE:
                    session.add("notes", "comparison cut short")
                    return
                try:
                    q, k, v = inputs(*shape, dim, kind)
                    errors = _errors(name, q, k, v, stats, causal)
                except Exception as error:
                    errors = repr(error)[:300]
                session.add("correct", name, dim, *shape[3:], kind, causal, errors)


def _errors(name, q, k, v, stats, causal) -> dict[str, object]:
    """Return the largest error of each result, or how many top keys or NaN are wrong."""
    results, again = (launch(name, q, k, v, stats, causal) for _ in range(2))
    queries, first = q.shape[2], k.shape[2] - q.shape[2] if causal else 0
    errors: dict[str, object] = {
        "repeatable": all(
            torch.equal(results[n].nan_to_num(7), again[n].nan_to_num(7)) for n in again
        )
    }
    edges = {0, 1, 63, 64, 65, 127, 128, 191, 192, 255, 300, queries // 2, queries - 2, queries - 1}
    for row in sorted(edges & set(range(queries))):
        wanted = attention(
            q[:1, :, row : row + 1], k[:1], v[:1], causal=causal, query_offset=first + row,
            stats=(*stats, "max_prob"), impl="reference",
        )  # fmt: skip
        for stat, values in results.items():
            got, exact = values[:1, :, row : row + 1], getattr(wanted, stat)
            if stat == "top_key":  # where one key has more than half of the weight
                wrong = (got != exact) & ~(wanted.max_prob <= 0.5)
                errors[stat] = errors.get(stat, 0) + int(wrong.sum())
                continue
            wrong_nan = int((got.isnan() != exact.isnan()).sum())
            errors[f"{stat} NaN"] = errors.get(f"{stat} NaN", 0) + wrong_nan
            error = float((got.double() - exact).abs().nan_to_num(0).max())
            errors[stat] = max(errors.get(stat, 0.0), error)
    return errors


def time_forward(session: Session) -> None:
    """Time every forward variant, a product and cuDNN, 64 heads of 8 key heads."""
    side = 8192 // variants.SHRINK
    a, b = (torch.randn(side, side, device=variants.DEVICE, dtype=torch.bfloat16) for _ in range(2))
    for dim, tokens in ((64, 16_384), (128, 16_384), (64, 65_536)):
        if session.left() < 150 * variants.SHARE:
            session.add("notes", f"no times at D {dim}, {tokens} tokens")
            return
        q, k, v = inputs(1, 64, 8, tokens, tokens, dim)
        runs: dict[str, Run] = {"matmul 8192": lambda: a @ b, "cudnn": lambda: _cudnn(q, k, v)}
        for name, head, stats, causal, tile in JOBS:
            if head == dim and causal:
                label = " ".join([name, *stats, *map(str, tile.items())])
                runs[label] = lambda n=name, s=stats, t=tile: launch(n, q, k, v, s, **t)
        for name, (ms, *gpu) in session.time(runs, 0.12 if tokens < 60_000 else 0.35).items():
            flops = 2 * side**3 if name.startswith("matmul") else 2 * 64 * tokens**2 * dim
            session.add("times", dim, tokens, name, ms, f"{flops / ms / 1e9:.1f} TFLOP/s", *gpu)


def _cudnn(q, k, v):
    with sdpa_kernel([SDPBackend.CUDNN_ATTENTION]):
        return torch.nn.functional.scaled_dot_product_attention(
            q, k, v, is_causal=True, enable_gqa=True
        )


def count_stalls(session: Session) -> None:
    """Let `ncu` say why warps of two variants wait."""
    log = session.folder / "ncu.csv"
    command = ["ncu", "--clock-control", "none", "--kernel-name", "regex:forward", "--csv"]
    command += [word for section in NCU.split() for word in ("--section", section)]
    code = PROFILED.format(folder=str(Path(__file__).parent))
    command += ["--log-file", str(log), sys.executable, "-c", code]
    subprocess.run(command, timeout=max(20, min(100, session.left() - 120)), check=True)
    with log.open() as file:
        lines = [line for line in file if line.startswith('"')]
    for row in csv.DictReader(lines):
        session.add("notes", "ncu", *(row[c] for c in ("ID", "Metric Name", "Metric Value")))


def main() -> None:
    folder = Path(sys.argv[1])
    if "--dry-run" in sys.argv:
        dry.install(sys.modules[__name__], others, variants)
    if "--job" in sys.argv:
        name, dim, stats, causal, tile = JOBS[int(sys.argv[sys.argv.index("--job") + 1])]
        launch(name, *inputs(1, 2, 2, 256, 256, dim), stats, causal, **tile)
        torch.cuda.synchronize()
        return
    folder.mkdir(parents=True, exist_ok=True)
    session = Session(folder, float(sys.argv[2]) if len(sys.argv) > 2 else 460)
    steps = (
        compile_all,
        check,
        time_forward,
        count_stalls,
        others.time_sweep,
        others.time_vocabulary,
    )
    for step in steps:
        try:
            step(session)
        except Exception as error:
            session.add("notes", f"{step.__name__}: {error!r}"[:400])
        print(f"-- {step.__name__}: {time.time() - session.begin:.0f} s", flush=True)
    session.monitor.terminate()


if __name__ == "__main__":
    main()
