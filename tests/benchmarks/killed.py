"""Benchmark that kills an extraction repeatedly at random moments and resumes it.

PYTHONPATH=tests python tests/benchmarks/killed.py [KILLS] [TOKENS] [SEED] prints one line per kill:
how far the run had got, and whether the resumed run's trace has the same bits as the trace of an
undisturbed run.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from attentropy.engine.run.extract import extract
from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.partial import PartialTrace
from interrupted import PROMPT, assert_equal, assert_holds, child, context

CHUNK = 128


def main(kills: int, tokens: int, seed: int) -> None:
    """Print the table."""
    torch.set_num_threads(1)
    processes = context()
    drawn = random.Random(seed)
    prompt = PROMPT * max(1, tokens // 95)
    options = {"device": "cpu", "max_new_tokens": 3, "chunk": CHUNK}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def started(output: Path, at: int = 0, **more: bool) -> Any:
            ready = processes.Event()
            arguments = (str(output), prompt, options | more, ready, at)
            process = processes.Process(target=child, args=arguments)
            process.start()
            ready.wait()
            return process

        process = started(folder / "whole.zarr")
        start = time.monotonic()
        process.join()
        seconds = time.monotonic() - start
        wanted = Trace.open(folder / "whole.zarr")
        n = len(wanted.tokens)
        print(f"{n:,} tokens in chunks of {CHUNK}, {seconds:.1f} s undisturbed, seed {seed}\n")
        print("| tokens read | and then | tokens done | cache kept | continued in | same bits |")
        print("| --- | --- | --- | --- | --- | --- |")
        for kill in range(kills):
            target, after = folder / f"{kill}.zarr", drawn.uniform(0, 2 * seconds * CHUNK / n)
            at = drawn.randrange(n)
            keep = bool(kill % 2)
            process = started(target, at, keep_cache=keep)
            time.sleep(after)
            process.kill()  # SIGKILL
            process.join()
            partial, done, start = PartialTrace(target), "whole", time.monotonic()
            if target.exists():
                trace = Trace.open(target)
            elif partial.exists():
                done = f"{assert_holds(partial.folder, wanted, CHUNK):,}"
                trace = extract(prompt=prompt, output=target, resume=True, **options)
            else:
                done = "none"
                trace = extract(prompt=prompt, output=target, **options)
            took = time.monotonic() - start
            assert_equal(trace, wanted)
            print(f"| {at:,} | {after:.1f} s | {done} | {keep} | {took:.1f} s | yes |", flush=True)


if __name__ == "__main__":
    arguments = [int(word) for word in sys.argv[1:]]
    main(*(arguments + [10, 1000, 0][len(arguments) :]))
