"""A run that is killed at a random moment leaves a readable trace and can be resumed."""

import random
import time

import pytest
import torch

from attentropy.engine.run.extract import extract
from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.partial import PartialTrace
from interrupted import OPTIONS, PROMPT, assert_equal, assert_holds, child, context


@pytest.fixture(scope="module")
def wanted(tmp_path_factory):
    """Yield the trace of the undisturbed run."""
    folder = tmp_path_factory.mktemp("wanted")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # like the killed runs: the last bits depend on the order of sums
    yield extract(prompt=PROMPT, output=folder / "t.zarr", **OPTIONS)
    torch.set_num_threads(threads)


@pytest.mark.slow
def test_killed_at_random_moments_it_opens_and_goes_on_to_the_same_values(wanted, tmp_path):
    """Ten runs are killed here; `tests/benchmarks/killed.py` kills any number."""
    processes = context()
    drawn = random.Random(0)

    def started(output, at=0, **options):
        start_event = processes.Event()
        arguments = (str(output), PROMPT, OPTIONS | options, start_event, at)
        process = processes.Process(target=child, args=arguments)
        process.start()
        assert start_event.wait(120)
        return process

    began = started(tmp_path / "timed.zarr.zip")
    start = time.monotonic()
    began.join()
    seconds = time.monotonic() - start
    assert began.exitcode == 0
    assert_equal(Trace.open(tmp_path / "timed.zarr.zip"), wanted)
    reached = []
    for kill in range(10):
        target = tmp_path / f"{kill}.zarr.zip"
        process = started(target, drawn.randrange(len(wanted.tokens)), keep_cache=bool(kill % 2))
        time.sleep(drawn.uniform(0, seconds / 4))
        process.kill()  # SIGKILL
        process.join()
        partial = PartialTrace(target)
        if target.exists():  # it finished before the kill
            trace = Trace.open(target)
            partial.discard()
        elif partial.exists():
            reached.append(assert_holds(partial.folder, wanted))
            trace = extract(prompt=PROMPT, output=target, resume=True, **OPTIONS)
        else:  # it was killed before its first write
            trace = extract(prompt=PROMPT, output=target, **OPTIONS)
        assert_equal(trace, wanted)
        assert not partial.folder.exists()
    assert len(set(reached)) > 1, f"all kills came at the same state: {reached}"
