"""A run that is killed at a random moment leaves what opens, and continues to the same values."""

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
    """The trace of the undisturbed run."""
    folder = tmp_path_factory.mktemp("wanted")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the killed ones: the order of sums is part of a bit's value
    yield extract(prompt=PROMPT, output=folder / "t.zarr", **OPTIONS)
    torch.set_num_threads(threads)


@pytest.mark.slow
def test_killed_at_random_moments_it_opens_and_goes_on_to_the_same_values(wanted, tmp_path):
    """Ten of them; `tests/benchmarks/killed.py` does as many as it is told."""
    processes = context()
    drawn = random.Random(0)

    def started(output, at=0, **options):
        begun = processes.Event()
        given = (str(output), PROMPT, OPTIONS | options, begun, at)
        process = processes.Process(target=child, args=given)
        process.start()
        assert begun.wait(120)
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
        if target.exists():  # it was quicker
            found = Trace.open(target)
            partial.discard()
        elif partial.exists():
            reached.append(assert_holds(partial.folder, wanted))
            found = extract(prompt=PROMPT, output=target, resume=True, **OPTIONS)
        else:  # not even begun
            found = extract(prompt=PROMPT, output=target, **OPTIONS)
        assert_equal(found, wanted)
        assert not partial.folder.exists()
    assert len(set(reached)) > 1, f"all kills came at the same state: {reached}"
